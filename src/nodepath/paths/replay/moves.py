"""What each step of a course does to counts on the way there, and to slopes on the way back."""

import math

from torch import Tensor

from nodepath.paths.replay.between import added, averaged, free, joined, largest
from nodepath.paths.replay.dense_layers import DenseLayer, by_groups, times_matrix, times_vector
from nodepath.paths.replay.depthwise_layers import by_channel
from nodepath.paths.replay.edges import Block
from nodepath.paths.replay.ends import Bound, Ends, Move, SlopesAt
from nodepath.paths.replay.listed_layers import times_listed
from nodepath.paths.replay.memory import Memory
from nodepath.paths.replay.small_layers import is_small, times_small_matrix, times_small_vector
from nodepath.paths.replay.steps import Add, Apply, Free, Join, Largest, Mean, Step
from nodepath.paths.site import dense

__all__ = ["bound", "can_be_listed"]


def can_be_listed(memory: Memory, step: Apply) -> bool:
    """Whether a layer can do with a list of its weights: it makes a single place, from a matrix that is all its own."""
    matrix = step.site.geometry.groups == 1 and memory.course.layouts[step.makes].places == 1
    block = memory.edges.blocks.get(step.site.name or "")
    # numpy, which is fast where weights are few, has the memory of the CPU alone
    return matrix and block is not None and _whole(step, block) and memory.device.type == "cpu"


def bound(memory: Memory, step: Step, adds: list[float], *, fresh: bool) -> Bound:
    """Bind a step.

    Args:
        memory: Of a sweep.
        step: The step.
        adds: Of each value that it reads, 1 if its slope has been written before on the way back, else 0.
        fresh: Nobody has written the shares of the layer's weights before.
    """
    ends = Ends(
        [(memory.rows(number, memory.counts), memory.rows(number, memory.slopes)) for number in step.reads],
        [(memory.counts[number], memory.slopes[number]) for number in step.reads],
        (memory.rows(step.makes, memory.counts), memory.rows(step.makes, memory.slopes)),
        adds,
        [1.0] * len(step.reads),
    )
    if isinstance(step, Apply):
        return Bound(*_applied(memory, step, ends, fresh=fresh), ends.factors)
    if isinstance(step, Add | Join):
        moves = (added if isinstance(step, Add) else joined)(ends, step.indices)
    elif isinstance(step, Largest):
        moves = largest(ends, step.index.to(memory.device))
    elif isinstance(step, Mean):
        moves = averaged(ends, step.index.flatten().to(memory.device), step.weights.to(memory.device, memory.dtype))
    else:
        assert isinstance(step, Free)
        moves = free(ends, step.run)
    return Bound(*moves, None, ends.factors)


def _applied(memory: Memory, step: Apply, ends: Ends, *, fresh: bool) -> tuple[Move, Move, SlopesAt]:
    index = None if step.index is None else step.index.flatten().to(memory.device)
    block = memory.edges.blocks.get(step.site.name or "")
    if block is not None and block.listing is not None:
        held, shares = block.view(memory.edges.held), block.view(memory.edges.shares)
        return times_listed(ends, block, held, shares, index, fresh=fresh)
    matrix, touch = _edges(memory, step)
    counts = ends.reads[0][0]
    if step.site.geometry.by_channel:
        return by_channel(ends, DenseLayer(matrix, touch, fresh, index, counts, counts))
    read = (0 if index is None else len(index), counts.shape[1])
    gathered, arriving = (each[: math.prod(read)].view(read) for each in memory.borrowed)
    layer = DenseLayer(matrix, touch, fresh, index, counts if index is None else gathered, arriving)
    if len(matrix) > 1:
        return by_groups(ends, layer)
    if is_small(ends, layer):
        alone = index is None and len(ends.made[0]) == 1
        return times_small_vector(ends, layer) if alone else times_small_matrix(ends, layer)
    return times_vector(ends, layer) if len(ends.made[0]) == 1 else times_matrix(ends, layer)


def _whole(step: Apply, block: Block) -> bool:
    """Not some rows of a parameter, which are a layer of their own."""
    return len(step.site.row_range) == block.layer.shape[0]


def _edges(memory: Memory, step: Apply) -> tuple[Tensor, Tensor | None]:
    """A layer's edges, and where the slopes in them go if they are asked for."""
    for edges in (memory.edges, memory.fixed):
        block = edges.blocks.get(step.site.name or "")
        if block is not None:
            some = slice(None) if _whole(step, block) else step.site.rows
            touch = block.view(edges.shares)[:, some] if edges is memory.edges else None
            return block.view(edges.held)[:, some], touch
    return _fixed_edges(memory, step), None


def _fixed_edges(memory: Memory, step: Apply) -> Tensor:
    """Those of what is no prunable layer: a fixed filter, or a matrix that an embedding owns."""
    site, geometry, counts = step.site, step.site.geometry, memory.counts[step.reads[0]]
    edges = dense(site, counts, lambda _: counts)
    values = counts.new_ones(geometry.shape) if edges is None else edges.to(counts)
    kernels = values.reshape(geometry.groups, -1, geometry.shape[1], math.prod(geometry.shape[2:]))
    made = (kernels.transpose(1, 2) if geometry.transposed else kernels).transpose(2, 3)
    if geometry.groups == 1:
        for axis, number in ((1, step.makes), (3, step.reads[0])):
            made = made.index_select(axis, memory.channels(number).nonzero().flatten().to(memory.device))
    return made.contiguous()
