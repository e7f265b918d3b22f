"""What stands in for an activation while paths are counted."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

__all__ = ["Axes", "Signal", "Storage"]

Axes = tuple[int, ...] | None
"""Of each axis, which axis of the network's input it is; None where axes were merged or split."""


class Storage:
    """The memory that a tensor and its views share: writing into one makes the others stale."""


@dataclass(frozen=True, slots=True)
class Signal:
    """The number of paths from the input to each element of one activation.

    The tensor that the model holds is another one, of the same shape: so nothing that the model does to it (detaching,
    switching gradients off, a backward pass of its own) changes what is counted.

    Attributes:
        counts: Mantissas, of the activation's shape; the number of paths is `counts * 2**exponent`.
        exponent: One for the whole tensor, so that no depth overflows.
        step: Which step of the graph made it.
        sources: The inputs that it comes from through no prunable layer: number of the source -> its axes here.
        storage: Shared by all views of the same memory.
    """

    counts: Tensor
    exponent: int
    step: int
    sources: Mapping[int, Axes]
    storage: Storage = field(default_factory=Storage)
