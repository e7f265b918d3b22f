"""A step bound to the memory of a sweep: what it reads and what it makes."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Bound", "Ends", "Move", "SlopesAt", "bring", "put"]

Move = Callable[[], None]

SlopesAt = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Bound:
    """A step bound to the memory of a sweep.

    Attributes:
        forward: Makes its value.
        backward: Adds to the slopes of what it reads.
        slopes_at: Slopes in some edges of a layer, given their groups, outputs and places in a row.
        factors: Of each value that it reads, what it is scaled by; they may be changed at any time.
    """

    forward: Move
    backward: Move
    slopes_at: SlopesAt | None
    factors: list[float]


@dataclass(frozen=True)
class Ends:
    """Both ends of a step in memory.

    Attributes:
        reads: Counts of what it reads, rows without the last; and their slopes.
        padded: The same with the last row, which stands for padding.
        made: What it makes, and its slope.
        adds: Of each value that it reads, 1 if another step has written its slope before on the way back, else 0.
        factors: See `Bound`.
    """

    reads: list[tuple[Tensor, Tensor]]
    padded: list[tuple[Tensor, Tensor]]
    made: tuple[Tensor, Tensor]
    adds: list[float]
    factors: list[float]


def put(into: Tensor, values: Tensor, adds: float) -> None:
    """Write, or add if something has been written before."""
    if adds:
        into.add_(values)
    else:
        into.copy_(values)


def bring(into: Tensor, index: Tensor, values: Tensor, adds: float) -> None:
    """Add rows where they were read."""
    if not adds:
        into.zero_()
    into.index_add_(0, index, values)
