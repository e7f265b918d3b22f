"""What layers do that hold all weights between their channels: products of matrices."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nodepath.paths.conversion import converted
from nodepath.paths.replay.ends import Ends, Move, SlopesAt, bring, put

__all__ = ["DenseLayer", "by_groups", "slopes_of_matrix", "times_matrix", "times_vector"]

_PIECE = 1 << 17
"""So many edges of a matrix are converted at once: they stay in the caches until they are used."""


@dataclass(frozen=True)
class DenseLayer:
    """A layer's part in a step.

    Attributes:
        matrix: Of its edges (groups, outputs, cells, inputs).
        touch: Where the slope in each of them goes, of the same shape; None: nowhere.
        fresh: It is overwritten, not added to.
        index: Which row each cell of each place reads, flat; None: each place its own.
        gathered: What is read (places * cells, channels), borrowed: others write there too.
        arriving: The slopes of that, the same.
    """

    matrix: Tensor
    touch: Tensor | None
    fresh: bool
    index: Tensor | None
    gathered: Tensor
    arriving: Tensor

    @property
    def rows(self) -> int:
        """Number of outputs of a group."""
        return self.matrix.shape[1]

    @property
    def columns(self) -> int:
        """Number of weights of each."""
        return self.matrix.shape[2] * self.matrix.shape[3]

    def edges(self) -> Tensor:
        """In the type of counts (groups, outputs, cells * inputs), to be used before those of another layer."""
        if self.matrix.dtype == self.gathered.dtype:
            return self._as_they_lie
        return converted(self.matrix, self.gathered.dtype).view(len(self.matrix), self.rows, self.columns)

    @cached_property
    def _as_they_lie(self) -> Tensor:
        return self.matrix.view(len(self.matrix), self.rows, self.columns)

    def take_down(self, slopes: Tensor) -> None:
        """Slopes in the edges (groups, outputs, cells * inputs)."""
        assert self.touch is not None
        put(self.touch, slopes.reshape(self.touch.shape), 0.0 if self.fresh else 1.0)

    def gather(self, padded: Tensor) -> None:
        """Read."""
        if self.index is not None:
            torch.index_select(padded, 0, self.index, out=self.gathered)


def times_vector(ends: Ends, layer: DenseLayer) -> tuple[Move, Move, SlopesAt]:
    """One place: a matrix times a vector. Where all cells read the same, their edges are parallel, and add up."""
    (padded, padded_slope), (made, back) = ends.padded[0], ends.made
    cells, inputs = layer.matrix.shape[2:]
    parallel = layer.index is not None and len(ends.reads[0][0]) == 1 and not bool(layer.index.any())
    vector = padded[0] if parallel else layer.gathered.view(-1)
    leaving, coming = made.view(-1), back.view(-1)
    touch = None if layer.touch is None else layer.touch[0].view(layer.rows, layer.columns)
    slope, adds, factors = ends.reads[0][1].reshape(-1), ends.adds[0], ends.factors
    pieces = torch.split(layer.matrix[0], max(1, _PIECE // max(1, layer.columns)))
    leaving_pieces, coming_pieces = (torch.split(each, [len(p) for p in pieces]) for each in (leaving, coming))
    sums: list[Tensor] = []

    def edges(piece: Tensor) -> Tensor:
        found = converted(piece, vector.dtype)
        return found.sum(1) if parallel else found.view(len(found), cells * inputs)

    def forward() -> None:
        sums.clear()
        if not parallel:
            layer.gather(padded)
        for piece, part in zip(pieces, leaving_pieces, strict=True):
            found = edges(piece)
            torch.addmv(part, found, vector, beta=0, alpha=factors[0], out=part)
            if parallel:
                sums.append(found)

    def backward() -> None:
        if touch is not None:
            if not parallel:
                layer.gather(padded)
            read = (vector.repeat(cells) if parallel else vector).to(touch.dtype)
            torch.addr(touch, coming.to(touch.dtype), read, beta=0 if layer.fresh else 1, alpha=factors[0], out=touch)
        apart = layer.index is not None and not parallel
        found = layer.arriving.view(-1) if apart else slope
        first = 0.0 if apart else adds
        for place, (piece, part) in enumerate(zip(pieces, coming_pieces, strict=True)):
            matrix = sums[place] if parallel else edges(piece)
            torch.addmv(found, matrix.t(), part, beta=first, alpha=factors[0], out=found)
            first = 1.0
        if apart:
            bring(padded_slope, layer.index, layer.arriving, adds)  # type: ignore[arg-type]

    def slopes_at(_: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        if not parallel:
            layer.gather(padded)
        return coming[rows] * vector[columns % inputs if parallel else columns] * factors[0]

    return forward, backward, slopes_at


def times_matrix(ends: Ends, layer: DenseLayer) -> tuple[Move, Move, SlopesAt]:
    """Many places: a matrix times a matrix. What is read is gathered twice: that is sooner done than kept in memory."""
    (padded, padded_slope), (made, back) = ends.padded[0], ends.made
    read, touch = layer.gathered.view(len(made), layer.columns), layer.touch
    slope, adds, factors = ends.reads[0][1], ends.adds[0], ends.factors
    taken = None if touch is None else touch[0].view(layer.rows, layer.columns)
    turned = back.t()

    def forward() -> None:
        layer.gather(padded)
        torch.addmm(made, read, layer.edges()[0].t(), beta=0, alpha=factors[0], out=made)

    def backward() -> None:
        if taken is not None:
            layer.gather(padded)
            sides = turned.to(taken.dtype), read.to(taken.dtype)
            torch.addmm(taken, *sides, beta=0 if layer.fresh else 1, alpha=factors[0], out=taken)
        matrix = layer.edges()[0]
        if layer.index is None:
            torch.addmm(slope, back, matrix, beta=adds, alpha=factors[0], out=slope)
        else:
            arriving = layer.arriving.view(read.shape)
            torch.addmm(arriving, back, matrix, beta=0, alpha=factors[0], out=arriving)
            bring(padded_slope, layer.index, layer.arriving, adds)

    return forward, backward, slopes_of_matrix(ends, layer)


def slopes_of_matrix(ends: Ends, layer: DenseLayer) -> SlopesAt:
    """Slopes in some edges of one."""
    (padded, _), (made, back) = ends.padded[0], ends.made

    def slopes_at(_: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        layer.gather(padded)
        read = layer.gathered.view(len(made), layer.columns)
        return (back[:, rows] * read[:, columns]).sum(0) * ends.factors[0]

    return slopes_at


def by_groups(ends: Ends, layer: DenseLayer) -> tuple[Move, Move, SlopesAt]:
    """A matrix of each group."""
    (padded, padded_slope), (made, back) = ends.padded[0], ends.made
    groups, outputs, cells, inputs = layer.matrix.shape
    places = len(made)
    slope, adds, factors = ends.reads[0][1], ends.adds[0], ends.factors

    def apart(values: Tensor, each: int) -> Tensor:
        """(groups, places, rest) of (places * rest, groups * each)."""
        return values.view(places, -1, groups, each).permute(2, 0, 1, 3).reshape(groups, places, -1)

    def forward() -> None:
        layer.gather(padded)
        leaving = torch.bmm(apart(layer.gathered, inputs), layer.edges().transpose(1, 2))
        torch.mul(leaving.permute(1, 0, 2).reshape(places, -1), factors[0], out=made)

    def backward() -> None:
        coming = apart(back, outputs) * factors[0]
        if layer.touch is not None:
            layer.gather(padded)
            layer.take_down(torch.bmm(coming.transpose(1, 2), apart(layer.gathered, inputs)))
        found = torch.bmm(coming, layer.edges()).view(groups, places, cells, inputs).permute(1, 2, 0, 3)
        if layer.index is None:
            put(slope, found.reshape(slope.shape), adds)
        else:
            bring(padded_slope, layer.index, found.reshape(places * cells, -1), adds)

    def slopes_at(which: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        layer.gather(padded)
        coming, read = apart(back, outputs), apart(layer.gathered, inputs)
        return (coming[which, :, rows] * read[which, :, columns]).sum(1) * factors[0]

    return forward, backward, slopes_at
