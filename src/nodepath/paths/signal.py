"""What stands in for an activation while paths are counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import torch
from torch import Tensor

__all__ = ["Axes", "Role", "Signal", "Storage"]

Axes = tuple[int, ...] | None
"""Of each axis, which axis of the network's input it is, -1 for none; None where axes were merged or split."""


class Storage:
    """The memory that a tensor and its views share: writing into one makes the others stale."""


class Role(IntEnum):
    """What a tensor is in a product with another: the higher role is the control, the lower the value.

    A prunable layer gives its output the role `VALUE` again; `ATTENTION` lasts until it has steered something.
    """

    VALUE = 0
    ACTIVATED = 1
    """Has passed an activation."""
    SQUASHED = 2
    """Has passed tanh, which a sigmoid may still gate."""
    STEERING = 3
    """Has passed sigmoid, hardsigmoid or softmax, or is a statistic such as a norm."""
    ATTENTION = 4
    """A product q k' of two activations, or what was made of one."""


@dataclass(frozen=True, slots=True)
class Signal:
    """The number of paths from the input to each element of one activation.

    The tensor that the model holds is another one, of the same shape: so nothing that the model does to it (detaching,
    switching gradients off, a backward pass of its own) changes what is counted.

    Attributes:
        counts: Mantissas; the number of paths is `counts * 2**exponent`. An axis of the activation that is *folded* has
            length 1 here: all along it are one. Of attention: 1 where a query may read, 0 where it is masked.
        shape: Of the activation.
        exponent: One for the whole tensor, so that no depth overflows.
        step: Which step of the graph made it.
        sources: The inputs that it comes from through no prunable layer: number of the source -> its axes here.
        role: What it is in a product.
        offsets: 1 where an element that no path reaches is a constant other than zero (a bias), 0 where it is zero;
            of a shape that broadcasts to that of the counts. None: zero everywhere, or nothing steers.
        storage: Shared by all views of the same memory.
    """

    counts: Tensor
    shape: torch.Size
    exponent: int
    step: int
    sources: Mapping[int, Axes]
    role: Role = Role.VALUE
    offsets: Tensor | None = None
    storage: Storage = field(default_factory=Storage)

    @property
    def silent(self) -> bool:
        """Whether an element that no path reaches is zero."""
        return self.offsets is None

    def unfolded(self, axis: int) -> Tensor:
        """Counts with all entries of one axis."""
        sizes = list(self.counts.shape)
        sizes[axis] = self.shape[axis]
        return self.counts.expand(sizes)
