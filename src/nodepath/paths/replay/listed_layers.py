"""What layers do of which few weights are left: sums over a list of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodepath.paths.replay.edges import Block
from nodepath.paths.replay.ends import Ends, Move, SlopesAt

__all__ = ["times_listed"]

_PIECE = 1 << 15
"""So many weights, if rows allow, are looked at at once: all that is made of them stays in the caches."""

Numbers = NDArray[np.floating[Any]]


def times_listed(
    ends: Ends, block: Block, held: Tensor, shares: Tensor, index: Tensor | None, *, fresh: bool
) -> tuple[Move, Move, SlopesAt]:
    """One place, from a list of weights.

    Args:
        ends: Of the step.
        block: Says where the weights are.
        held: Their values (weights,), on the CPU.
        shares: Where the slope in each of them goes (weights,).
        index: Which row each cell reads (cells,); None: the only row, with the only cell.
        fresh: Shares are overwritten, not added to.

    Cost: O(weights).
    """
    assert block.listing is not None
    _, _, _, inputs = block.shape
    (padded, padded_slope), (made, back) = ends.padded[0], ends.made
    adds, factors = ends.adds[0], ends.factors
    # where in what is read each weight of a row reads
    first = torch.zeros(1, dtype=torch.long) if index is None else index
    reads = (first.unsqueeze(1) * inputs + torch.arange(inputs)).flatten()
    columns: NDArray[np.int64] = reads.numpy()[block.listing.columns]
    vector, slope, leaving, coming = (each.numpy().reshape(-1) for each in (padded, padded_slope, made, back))
    weights, touch = held.numpy(), shares.numpy()
    pieces = _pieces(block.listing.lengths)

    def forward() -> None:
        leaving.fill(0)
        for piece in pieces:
            found = vector.take(columns[piece.part], mode="clip")  # which does not look twice
            found *= weights[piece.part]
            leaving[piece.rows] = np.add.reduceat(found, piece.starts)
        if factors[0] != 1.0:
            np.multiply(leaving, factors[0], out=leaving)

    def backward() -> None:
        if not adds:
            slope.fill(0)
        for piece in pieces:
            own = columns[piece.part]
            arriving = (coming[piece.rows] * factors[0]).repeat(piece.lengths)
            found = vector.take(own, mode="clip")
            found *= arriving
            if fresh:
                touch[piece.part] = found
            else:
                touch[piece.part] += found
            arriving *= weights[piece.part]
            np.add(slope, np.bincount(own, arriving, len(slope)), out=slope)

    def slopes_at(_: Tensor, rows: Tensor, where: Tensor) -> Tensor:
        return back.view(-1)[rows] * padded.view(-1)[reads[where]] * factors[0]

    return forward, backward, slopes_at


@dataclass(frozen=True)
class _Piece:
    """Whole rows of a list.

    Attributes:
        part: Of the list.
        rows: Which rows have any weight.
        starts: Where each of them starts in the part.
        lengths: How many weights it has.
    """

    part: slice
    rows: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


def _pieces(lengths: NDArray[np.int64]) -> list[_Piece]:
    ends = np.cumsum(lengths)
    found, row = [], 0
    while row < len(lengths):
        start = int(ends[row] - lengths[row])
        stop = max(row + 1, int(np.searchsorted(ends, start + _PIECE, side="right")))
        rows = row + np.flatnonzero(lengths[row:stop])
        if len(rows):
            part = slice(start, int(ends[stop - 1]))
            found.append(_Piece(part, rows, ends[rows] - lengths[rows] - start, lengths[rows]))
        row = stop
    return found
