"""A walk laid out: each activation as a matrix of places and channels, each operator as a step between."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nodepath.paths.replay.places import Axis
from nodepath.paths.site import Site

__all__ = ["Add", "Apply", "Course", "Free", "Join", "Largest", "Layout", "Mean", "Step"]


@dataclass(frozen=True)
class Layout:
    """How counts lie in memory.

    Attributes:
        shape: Of the counts in the walk.
        channel: Which axis holds the channels, each a column; None: the counts lie as in the walk.
        axes: The others, whose classes together are the rows.
        labels: Of each channel a number that it shares with those that it is added to.
    """

    shape: torch.Size
    channel: int | None = None
    axes: tuple[Axis, ...] = ()
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))

    @property
    def numbers(self) -> list[int]:
        """How many classes each axis has."""
        return [axis.number for axis in self.axes]

    @property
    def places(self) -> int:
        """How many rows there are."""
        return math.prod(self.numbers)

    @property
    def multiplicities(self) -> Tensor:
        """How many places of the walk each row stands for (places,)."""
        found = torch.ones(1, dtype=torch.float64)
        for axis in self.axes:
            found = torch.outer(found, torch.tensor(axis.sizes, dtype=torch.float64)).flatten()
        return found


@dataclass(frozen=True, eq=False)
class Step:
    """What makes a value of others.

    Attributes:
        reads: Numbers of values.
        makes: Number of a value.
    """

    reads: tuple[int, ...]
    makes: int


@dataclass(frozen=True, eq=False)
class Apply(Step):
    """A layer.

    Attributes:
        site: Where.
        index: (places, cells) which place each cell reads; None: each place reads itself, with its only cell.
    """

    site: Site
    index: Tensor | None


@dataclass(frozen=True, eq=False)
class Add(Step):
    """The sum of two values.

    Attributes:
        indices: Of either, which place each place reads; None: itself.
    """

    indices: tuple[Tensor | None, ...]


@dataclass(frozen=True, eq=False)
class Join(Step):
    """Channels side by side.

    Attributes:
        indices: As of `Add`, of each value.
    """

    indices: tuple[Tensor | None, ...]


@dataclass(frozen=True, eq=False)
class Largest(Step):
    """The maximum over a window; among equal ones, the first.

    Attributes:
        index: (places, cells) which place each cell reads.
    """

    index: Tensor


@dataclass(frozen=True, eq=False)
class Mean(Step):
    """A weighted sum over places.

    Attributes:
        index: (places, cells) which place each cell reads.
        weights: (places, cells) the factor of each.
    """

    index: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class Free(Step):
    """Any function that is homogeneous of degree 1, of counts as they lie in the walk or as rows and columns.

    Attributes:
        run: The function.
    """

    run: Callable[..., Tensor]


@dataclass(frozen=True)
class Course:
    """A walk as steps.

    Attributes:
        layouts: Of each value.
        sources: Numbers of the values that are inputs, ones.
        outputs: Numbers of those that leave.
        steps: In order.
        pinned: Of each label, whether its channels must stay, bool (labels,).
    """

    layouts: tuple[Layout, ...]
    sources: tuple[int, ...]
    outputs: tuple[int, ...]
    steps: tuple[Step, ...]
    pinned: Tensor
