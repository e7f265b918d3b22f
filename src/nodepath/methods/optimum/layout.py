"""Which kernels are opened for the weights that the layer problem gives to each input."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nodepath.methods.optimum.layer import LayerProblem, evenly

__all__ = ["Kernels", "lay_out"]


@dataclass(frozen=True)
class Kernels:
    """Open kernels, one entry each.

    Attributes:
        rows: Which input, counted over all groups.
        columns: Which output of its group.
        counts: How many of its weights are kept, at least 1.
    """

    rows: Tensor
    columns: Tensor
    counts: Tensor


def lay_out(problem: LayerProblem, kept: Tensor, ranks: Tensor, core: int, generator: torch.Generator) -> Kernels:
    """Hand the weights of each input to outputs, without loss for the layer problem.

    Outputs do not differ in it, so who gets how many is free, as long as as many of them as possible get one. The
    *core*, the outputs of lowest rank, share evenly what the others do not need, which get one each.

    Args:
        problem: The layer.
        kept: Weights of each input (groups, inputs), as `solve` gives them.
        ranks: Of each output in its group (groups, outputs).
        core: How many outputs of a group share most weights; more if they could not hold them.
        generator: Draws which outputs of the core an input meets.

    Cost: linear in the number of open kernels, and a sort of the inputs.
    """
    outputs, (groups, inputs) = problem.outputs, kept.shape
    least = -(kept // -problem.caps.clamp(min=1))  # kernels that hold as much
    core = min(outputs, max(1, core, int(least.max())))
    opened = _opened(problem, kept, least, core)
    outside = _outside(opened, core, outputs if problem.alpha > 0 else 0)
    inside = opened - outside
    spare = problem.caps - 1
    extra = kept - opened
    extra_inside = extra.minimum(inside * spare)
    # within the core, and within the rest, whoever comes first
    mixed = (ranks >= core) + torch.rand(ranks.shape, generator=generator, dtype=torch.float64)
    by_rank = torch.argsort(mixed, dim=1)
    order = torch.randperm(groups * inputs, generator=generator)
    if groups > 1:
        order = order[torch.argsort(order // inputs, stable=True)]
    parts = (
        _dealt(order, inside, extra_inside, by_rank[:, :core]),
        _dealt(order, outside, extra - extra_inside, by_rank[:, core:]),
    )
    return Kernels(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _opened(problem: LayerProblem, kept: Tensor, least: Tensor, core: int) -> Tensor:
    """How many kernels each input opens.

    As many as it can where each counts; else as many as the core has outputs, and some for each output besides.
    """
    if problem.beta > 0:
        return kept.clamp(max=problem.outputs)
    opened = least.maximum(kept.clamp(max=core))
    room = kept.clamp(max=problem.outputs) - opened
    if problem.alpha > 0 and core < problem.outputs:
        for group in room.any(dim=1).nonzero().flatten().tolist():
            more = min(problem.outputs - core, int(room[group].sum()))
            opened[group] += _evenly(room[group], more)
    return opened


def _outside(opened: Tensor, core: int, outputs: int) -> Tensor:
    """How many kernels of each input lie outside of the core: what it has no room for, and as many as reach the rest.

    The inputs that have opened the most give the most.
    """
    outside = (opened - core).clamp(min=0)
    total = opened.sum(dim=1)
    wanted = (total.clamp(max=outputs) - core).clamp(min=0)
    for group in (outside.sum(dim=1) < wanted).nonzero().flatten().tolist():
        inside = int(total[group] - wanted[group])
        outside[group] = opened[group] - _evenly(opened[group].clamp(max=core), inside)
    return outside


def _evenly(room: Tensor, amount: int) -> Tensor:
    return torch.from_numpy(evenly(room.numpy(), amount))


def _dealt(order: Tensor, opened: Tensor, extra: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and counts of kernels that are dealt to outputs in turn, one input after the other.

    Extra cells are shared evenly by an input's kernels, and what is left over begins where the last input's ended.

    Args:
        order: The order of the inputs, group by group.
        opened: Kernels of each input (groups, inputs), at most as many as there are columns.
        extra: Cells of each input beyond one a kernel (groups, inputs).
        columns: The outputs of each group, in turn.
    """
    inputs = opened.shape[1]
    number = opened.flatten()[order]
    rows = order.repeat_interleave(number)
    place = torch.arange(len(rows))
    if not len(rows):
        return rows, place, place
    turn = place % columns.shape[1]
    dealt = columns[0][turn] if len(columns) == 1 else columns[rows // inputs, turn]
    counts = torch.ones_like(rows)
    more = extra.flatten()[order]
    if bool(more.any()):
        some = number.clamp(min=1)
        each, rest = more // some, more % some
        begin = number.cumsum(0) - number + (rest.cumsum(0) - rest) % some
        row = torch.arange(len(number)).repeat_interleave(number)
        counts += each[row] + ((place - begin[row]) % some[row] < rest[row])
    return rows, dealt, counts
