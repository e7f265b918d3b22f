"""What happens to counts and slopes between layers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nodepath.paths.replay.ends import Ends, Move, bring, put
from nodepath.paths.replay.moved import moved, moves_alone

__all__ = ["added", "averaged", "free", "joined", "largest"]

_SMALL = 1 << 14
"""So few numbers are added sooner than torch is called."""

_MANY = 4
"""Where a sum reads at least one of so many places, to multiply by zeros costs less than to look up the others."""


@dataclass(frozen=True)
class _Gathering:
    """Rows of a value, and the way back there."""

    counts: Tensor
    slopes: Tensor
    index: Tensor | None
    adds: float

    def read(self) -> Tensor:
        """Rows as they are asked for."""
        return self.counts if self.index is None else self.counts.index_select(0, self.index)

    def bring(self, slopes: Tensor, factor: float) -> None:
        """Slopes of those rows, times a factor."""
        found = slopes if factor == 1.0 else slopes * factor
        if self.index is None:
            put(self.slopes, found, self.adds)
        else:
            bring(self.slopes, self.index, found, self.adds)


def _gatherings(ends: Ends, indices: Sequence[Tensor | None]) -> list[_Gathering]:
    return [
        _Gathering(counts, slopes, None if index is None else index.to(counts.device), adds)
        for (counts, slopes), index, adds in zip(ends.reads, indices, ends.adds, strict=True)
    ]


def added(ends: Ends, indices: Sequence[Tensor | None]) -> tuple[Move, Move]:
    """The sum of two values."""
    (made, back), (left, right), factors = ends.made, _gatherings(ends, indices), ends.factors
    if made.device.type == "cpu" and made.numel() <= _SMALL and all(index is None for index in indices):
        return _added_small(ends)

    def forward() -> None:
        if factors[0] == 1.0:
            torch.add(left.read(), right.read(), alpha=factors[1], out=made)
            return
        torch.mul(left.read(), factors[0], out=made)
        made.add_(right.read(), alpha=factors[1])

    def backward() -> None:
        left.bring(back, factors[0])
        right.bring(back, factors[1])

    return forward, backward


def _added_small(ends: Ends) -> tuple[Move, Move]:
    """The same by numpy, whose calls cost less."""
    (made, back), factors, adds = (each.numpy() for each in ends.made), ends.factors, ends.adds
    (left, left_slope), (right, right_slope) = ((read.numpy(), slope.numpy()) for read, slope in ends.reads)

    def forward() -> None:
        first, second = (
            read if factor == 1.0 else read * factor for read, factor in zip((left, right), factors, strict=True)
        )
        np.add(first, second, out=made)

    def backward() -> None:
        for slope, factor, add in zip((left_slope, right_slope), factors, adds, strict=True):
            coming = back if factor == 1.0 else back * factor
            if add:
                np.add(slope, coming, out=slope)
            else:
                np.copyto(slope, coming)

    return forward, backward


def joined(ends: Ends, indices: Sequence[Tensor | None]) -> tuple[Move, Move]:
    """Channels side by side."""
    sides = _gatherings(ends, indices)
    widths = [side.counts.shape[1] for side in sides]
    made, back = (torch.split(each, widths, 1) for each in ends.made)
    factors = ends.factors

    def forward() -> None:
        for part, side, factor in zip(made, sides, factors, strict=True):
            part.copy_(side.read() if factor == 1.0 else side.read() * factor)

    def backward() -> None:
        for part, side, factor in zip(back, sides, factors, strict=True):
            side.bring(part, factor)

    return forward, backward


def largest(ends: Ends, index: Tensor) -> tuple[Move, Move]:
    """The maximum over windows."""
    (padded, slope), (made, back), adds = ends.padded[0], ends.made, ends.adds[0]
    chosen: list[Tensor] = []

    def forward() -> None:
        # no count is less than that of padding, which is the last row: zero
        read = padded.index_select(0, index.flatten()).view(*index.shape, padded.shape[1])
        values, cells = read.max(1)
        made.copy_(values)
        chosen[:] = [index.gather(1, cells)]

    def backward() -> None:
        if not adds:
            slope.zero_()
        slope.scatter_add_(0, chosen[0], back)

    return forward, backward


def averaged(ends: Ends, index: Tensor, weights: Tensor) -> tuple[Move, Move]:
    """Weighted sums over places."""
    (padded, slope), (made, back), adds = ends.padded[0], ends.made, ends.adds[0]
    if _MANY * weights.shape[1] >= len(padded):
        return _as_matrix(ends, index, weights)
    each, channels = weights.unsqueeze(1), padded.shape[1]

    def forward() -> None:
        read = padded.index_select(0, index).view(*weights.shape, channels)
        made.copy_(torch.bmm(each, read).squeeze(1))

    def backward() -> None:
        bring(slope, index, (back.unsqueeze(1) * weights.unsqueeze(2)).view(len(index), channels), adds)

    return forward, backward


def _as_matrix(ends: Ends, index: Tensor, weights: Tensor) -> tuple[Move, Move]:
    """Weighted sums over many of the places."""
    (read, slope), (made, back), adds = ends.reads[0], ends.made, ends.adds[0]
    matrix = weights.new_zeros(len(made), len(read) + 1)
    matrix = matrix.scatter_add_(1, index.view(weights.shape), weights)[:, :-1].contiguous()

    def forward() -> None:
        torch.mm(matrix, read, out=made)

    def backward() -> None:
        torch.addmm(slope, matrix.t(), back, beta=adds, out=slope)

    return forward, backward


def free(ends: Ends, run: Callable[..., Tensor]) -> tuple[Move, Move]:
    """Any function, whose slopes autograd finds."""
    if len(ends.reads) == 1:
        read = ends.reads[0][0]
        index = moves_alone(run, read.shape, read.device)
        if index is not None:
            return moved(ends, index)
    (made, back), factors = ends.made, ends.factors
    ran: list[tuple[list[Tensor], Tensor]] = []

    def forward() -> None:
        with torch.enable_grad():
            # copies: autograd holds what it read, and this memory is written again
            leaves = [(read * factor).requires_grad_() for (read, _), factor in zip(ends.reads, factors, strict=True)]
            result = run(*leaves)
        made.copy_(result.detach())
        ran[:] = [(leaves, result)]

    def backward() -> None:
        ((leaves, result),) = ran
        found = torch.autograd.grad(result, leaves, back, allow_unused=True)
        for (_, into), slope, factor, adds in zip(ends.reads, found, factors, ends.adds, strict=True):
            put(into, torch.zeros_like(into) if slope is None else slope * factor, adds)
        ran.clear()

    return forward, backward
