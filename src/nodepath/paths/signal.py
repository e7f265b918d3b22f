"""What stands in for an activation while paths are counted."""

from dataclasses import dataclass, field

from torch import Tensor

__all__ = ["Signal", "Storage"]


class Storage:
    """The memory that a tensor and its views share: writing into one makes the others stale."""


@dataclass(frozen=True, slots=True)
class Signal:
    """The number of paths from the input to each element of one activation.

    Attributes:
        counts: Mantissas, of the activation's shape; the number of paths is `counts * 2**exponent`.
        exponent: One for the whole tensor, so that no depth overflows.
        step: Which step of the graph made it.
        fresh: No prunable layer lies between the input and here.
        storage: Shared by all views of the same memory.
    """

    counts: Tensor
    exponent: int
    step: int
    fresh: bool
    storage: Storage = field(default_factory=Storage)
