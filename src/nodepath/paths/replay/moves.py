"""What each step of a course does to counts on the way there, and to slopes on the way back."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nodepath.paths.conversion import converted
from nodepath.paths.replay.course import Add, Apply, Free, Join, Largest, Mean, Step
from nodepath.paths.site import dense

if TYPE_CHECKING:
    from nodepath.paths.replay.sweep import Sweep

__all__ = ["Bound", "bound"]

Move = Callable[[], None]

SlopesAt = Callable[[Tensor, Tensor, Tensor], Tensor]

_PIECE = 1 << 18
"""So many edges of a matrix are converted at once: they stay in the caches until they are used."""


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
class _Ends:
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


def bound(sweep: "Sweep", step: Step, adds: list[float], *, fresh: bool) -> Bound:
    """Bind a step.

    Args:
        sweep: Whose memory.
        step: The step.
        adds: Of each value that it reads, 1 if its slope has been written before on the way back, else 0.
        fresh: Nobody has written the shares of the layer's weights before.
    """
    ends = _Ends(
        [(sweep.rows(number, sweep.counts), sweep.rows(number, sweep.slopes)) for number in step.reads],
        [(sweep.counts[number], sweep.slopes[number]) for number in step.reads],
        (sweep.rows(step.makes, sweep.counts), sweep.rows(step.makes, sweep.slopes)),
        adds,
        [1.0] * len(step.reads),
    )
    if isinstance(step, Apply):
        return Bound(*_applied(sweep, step, ends, fresh=fresh), ends.factors)
    if isinstance(step, Add | Join):
        moves = (_added if isinstance(step, Add) else _joined)(ends, _gatherings(ends, step.indices))
    elif isinstance(step, Largest):
        moves = _largest(ends, step.index.to(sweep.device))
    elif isinstance(step, Mean):
        moves = _averaged(ends, step.index.flatten().to(sweep.device), step.weights.to(sweep.device, sweep.dtype))
    else:
        assert isinstance(step, Free)
        moves = _free(ends, step.run)
    return Bound(*moves, None, ends.factors)


def _put(into: Tensor, values: Tensor, adds: float) -> None:
    if adds:
        into.add_(values)
    else:
        into.copy_(values)


def _bring(into: Tensor, index: Tensor, values: Tensor, adds: float) -> None:
    """Add rows where they were read."""
    if not adds:
        into.zero_()
    into.index_add_(0, index, values)


# layers


@dataclass(frozen=True)
class _Layer:
    """A layer's part in a step.

    Attributes:
        matrix: Of its edges (groups, outputs, cells, inputs).
        touch: Where the slope in each of them goes, of the same shape; None: nowhere.
        fresh: It is overwritten, not added to.
        index: Which row each cell of each place reads, flat; None: each place its own.
        gathered: What is read (places * cells, channels).
    """

    matrix: Tensor
    touch: Tensor | None
    fresh: bool
    index: Tensor | None
    gathered: Tensor

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
        return converted(self.matrix, self.gathered.dtype).view(len(self.matrix), self.rows, self.columns)

    def take_down(self, slopes: Tensor) -> None:
        """Slopes in the edges (groups, outputs, cells * inputs)."""
        assert self.touch is not None
        _put(self.touch, slopes.view(self.touch.shape), 0.0 if self.fresh else 1.0)

    def gather(self, padded: Tensor) -> None:
        """Read."""
        if self.index is not None:
            torch.index_select(padded, 0, self.index, out=self.gathered)


def _applied(sweep: "Sweep", step: Apply, ends: _Ends, *, fresh: bool) -> tuple[Move, Move, SlopesAt]:
    matrix, touch = _edges(sweep, step)
    index = None if step.index is None else step.index.flatten().to(sweep.device)
    counts = ends.reads[0][0]
    gathered = counts if index is None else counts.new_empty((len(index), counts.shape[1]))
    layer = _Layer(matrix, touch, fresh, index, gathered)
    if matrix.shape[0] > 1:
        return _by_groups(ends, layer)
    return _times_vector(ends, layer) if len(ends.made[0]) == 1 else _times_matrix(ends, layer)


def _edges(sweep: "Sweep", step: Apply) -> tuple[Tensor, Tensor | None]:
    """A layer's edges, and where the slopes in them go if they are asked for."""
    site = step.site
    for edges in (sweep.edges, sweep.fixed):
        block = edges.blocks.get(site.name or "")
        if block is None:
            continue
        # some rows of a parameter are a layer of their own
        some = site.rows if len(site.row_range) < block.layer.shape[0] else slice(None)
        touch = block.view(edges.shares)[:, some] if edges is sweep.edges else None
        return block.view(edges.held)[:, some], touch
    return _fixed_edges(sweep, step), None


def _fixed_edges(sweep: "Sweep", step: Apply) -> Tensor:
    """Those of what is no prunable layer: a fixed filter, or a matrix that an embedding owns."""
    site, geometry, counts = step.site, step.site.geometry, sweep.counts[step.reads[0]]
    edges = dense(site, counts, lambda _: counts)
    values = counts.new_ones(geometry.shape) if edges is None else edges.to(counts)
    kernels = values.reshape(geometry.groups, -1, geometry.shape[1], math.prod(geometry.shape[2:]))
    made = (kernels.transpose(1, 2) if geometry.transposed else kernels).transpose(2, 3)
    if geometry.groups == 1:
        for axis, number in ((1, step.makes), (3, step.reads[0])):
            made = made.index_select(axis, sweep.channels(number).nonzero().flatten().to(sweep.device))
    return made.contiguous()


def _times_vector(ends: _Ends, layer: _Layer) -> tuple[Move, Move, SlopesAt]:
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
            read = (vector.repeat(cells) if parallel else vector).to(touch.dtype)
            torch.addr(touch, coming.to(touch.dtype), read, beta=0 if layer.fresh else 1, alpha=factors[0], out=touch)
        apart = layer.index is not None and not parallel
        found = torch.empty_like(vector) if apart else slope
        first = 0.0 if apart else adds
        for place, (piece, part) in enumerate(zip(pieces, coming_pieces, strict=True)):
            matrix = sums[place] if parallel else edges(piece)
            torch.addmv(found, matrix.t(), part, beta=first, alpha=factors[0], out=found)
            first = 1.0
        if apart:
            _bring(padded_slope, layer.index, found.view(layer.gathered.shape), adds)  # type: ignore[arg-type]

    def slopes_at(_: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        return coming[rows] * vector[columns % inputs if parallel else columns] * factors[0]

    return forward, backward, slopes_at


def _times_matrix(ends: _Ends, layer: _Layer) -> tuple[Move, Move, SlopesAt]:
    """Many places: a matrix times a matrix."""
    (padded, padded_slope), (made, back) = ends.padded[0], ends.made
    read, touch = layer.gathered.view(len(made), layer.columns), layer.touch
    slope, adds, factors = ends.reads[0][1], ends.adds[0], ends.factors
    taken = None if touch is None else touch[0].view(layer.rows, layer.columns)

    def forward() -> None:
        layer.gather(padded)
        torch.addmm(made, read, layer.edges()[0].t(), beta=0, alpha=factors[0], out=made)

    def backward() -> None:
        if taken is not None:
            sides = back.to(taken.dtype).t(), read.to(taken.dtype)
            torch.addmm(taken, *sides, beta=0 if layer.fresh else 1, alpha=factors[0], out=taken)
        matrix = layer.edges()[0]
        if layer.index is None:
            torch.addmm(slope, back, matrix, beta=adds, alpha=factors[0], out=slope)
        else:
            found = torch.mm(back, matrix).mul_(factors[0])
            _bring(padded_slope, layer.index, found.view(layer.gathered.shape), adds)

    def slopes_at(_: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        return (back[:, rows] * read[:, columns]).sum(0) * factors[0]

    return forward, backward, slopes_at


def _by_groups(ends: _Ends, layer: _Layer) -> tuple[Move, Move, SlopesAt]:
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
            layer.take_down(torch.bmm(coming.transpose(1, 2), apart(layer.gathered, inputs)))
        found = torch.bmm(coming, layer.edges()).view(groups, places, cells, inputs).permute(1, 2, 0, 3)
        if layer.index is None:
            _put(slope, found.reshape(slope.shape), adds)
        else:
            _bring(padded_slope, layer.index, found.reshape(places * cells, -1), adds)

    def slopes_at(which: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        coming, read = apart(back, outputs), apart(layer.gathered, inputs)
        return (coming[which, :, rows] * read[which, :, columns]).sum(1) * factors[0]

    return forward, backward, slopes_at


# between layers


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
            _put(self.slopes, found, self.adds)
        else:
            _bring(self.slopes, self.index, found, self.adds)


def _gatherings(ends: _Ends, indices: Sequence[Tensor | None]) -> list[_Gathering]:
    return [
        _Gathering(counts, slopes, None if index is None else index.to(counts.device), adds)
        for (counts, slopes), index, adds in zip(ends.reads, indices, ends.adds, strict=True)
    ]


def _added(ends: _Ends, sides: list[_Gathering]) -> tuple[Move, Move]:
    (made, back), (left, right), factors = ends.made, sides, ends.factors

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


def _joined(ends: _Ends, sides: list[_Gathering]) -> tuple[Move, Move]:
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


def _largest(ends: _Ends, index: Tensor) -> tuple[Move, Move]:
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


def _averaged(ends: _Ends, index: Tensor, weights: Tensor) -> tuple[Move, Move]:
    (padded, slope), (made, back), adds = ends.padded[0], ends.made, ends.adds[0]
    each, channels = weights.unsqueeze(1), padded.shape[1]

    def forward() -> None:
        read = padded.index_select(0, index).view(*weights.shape, channels)
        made.copy_(torch.bmm(each, read).squeeze(1))

    def backward() -> None:
        _bring(slope, index, (back.unsqueeze(1) * weights.unsqueeze(2)).view(len(index), channels), adds)

    return forward, backward


def _free(ends: _Ends, run: Callable[..., Tensor]) -> tuple[Move, Move]:
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
            _put(into, torch.zeros_like(into) if slope is None else slope * factor, adds)
        ran.clear()

    return forward, backward
