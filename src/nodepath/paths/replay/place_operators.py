"""Operators that read several places: pooling, means and sums."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nodepath.paths.replay.draft import Draft, Held, reading_of
from nodepath.paths.replay.places import Axis, Reads, table, window_reads
from nodepath.paths.replay.recording import Ran
from nodepath.paths.replay.steps import Largest, Layout, Mean

__all__ = ["PLACE_OPERATORS"]

_ATEN = torch.ops.aten


def _largest(make: Draft, step: Ran) -> bool:
    value, held = step.makes[0], make.where[step.reads[0]]
    layout = held.layout
    if value is None or layout.channel != 1 or len(layout.shape) != 4:
        return False
    kernel = _numbers(step.args[1], 2)
    stride, padding, dilation = [*step.args[2:5], None, None, None][:3]
    options = kernel, _numbers(stride, 2) if stride else kernel, _numbers(padding or 0, 2), _numbers(dilation or 1, 2)
    shape = make.recording.shapes[value.number]
    spatial = zip(layout.shape[2:], shape[2:], *options, strict=True)
    axes, index = reading_of(layout, [_itself(layout.shape[0]), *(window_reads(*each) for each in spatial)])
    if index is None:
        make.where[value] = Held(held.number, replace(layout, shape=shape))
        return True
    return make.make(value, Layout(shape, 1, axes, layout.labels), lambda made: Largest((held.number,), made, index))


def _numbers(value: Any, dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values


def _itself(size: int) -> Reads:
    return tuple((place,) for place in range(size))


def _reduced(make: Draft, step: Ran) -> bool:
    """Means and sums over whole axes."""
    (value,), held = step.makes, make.where[step.reads[0]]
    assert value is not None
    layout = held.layout
    dims = step.args[1] if len(step.args) > 1 else step.kwargs.get("dim")
    lost = {dim % len(layout.shape) for dim in dims or ()}
    if not lost or layout.channel is None or layout.channel in lost:
        return False
    keeps = bool(step.args[2] if len(step.args) > 2 else step.kwargs.get("keepdim", False))
    share = math.prod(layout.shape[i] for i in lost) if step.operator is _ATEN.mean.dim else 1
    beside = [i for i in range(len(layout.shape)) if i != layout.channel]
    axes: list[Axis] = []
    rows: list[list[list[tuple[int, float]]]] = []
    for i, axis in zip(beside, layout.axes, strict=True):
        gone = i in lost
        rows.append([list(enumerate(axis.sizes))] if gone else [[(each, 1.0)] for each in range(axis.number)])
        axes += [Axis.even(1) if gone else axis] if keeps or not gone else []
    index, weights = _weighted(rows, layout.numbers)
    channel = layout.channel if keeps else layout.channel - sum(i < layout.channel for i in lost)
    made_layout = Layout(make.recording.shapes[value.number], channel, tuple(axes), layout.labels)
    return make.make(value, made_layout, lambda made: Mean((held.number,), made, index, weights / share))


def _averaged(make: Draft, step: Ran) -> bool:
    """Average pooling over windows."""
    (value,), held = step.makes, make.where[step.reads[0]]
    assert value is not None
    layout = held.layout
    if layout.channel != 1 or len(layout.shape) != 4:
        return False
    axes = [layout.axes[0]]
    rows = [[[(each, 1.0)] for each in range(layout.axes[0].number)]]
    for axis, matrix in zip(layout.axes[1:], _separated(step, layout.shape[2:]), strict=True):
        read: list[tuple[tuple[int, float], ...]] = []
        for row in matrix.tolist():
            found: dict[int, float] = {}
            for place, weight in enumerate(row):
                if weight:
                    found[axis.classes[place]] = found.get(axis.classes[place], 0.0) + weight
            read.append(tuple(sorted(found.items())))
        axes.append(Axis.of(read))
        rows.append([list(read[place]) for place in axes[-1].firsts])
    index, weights = _weighted(rows, layout.numbers)
    made_layout = Layout(make.recording.shapes[value.number], 1, tuple(axes), layout.labels)
    return make.make(value, made_layout, lambda made: Mean((held.number,), made, index, weights))


def _weighted(rows: Sequence[Sequence[Sequence[tuple[int, float]]]], numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The table and the weights of what each place reads on each axis: pairs of a place and a weight."""
    reads, weights = [], torch.ones(1, 1, dtype=torch.float64)
    for axis in rows:
        most = max(map(len, axis))
        full = [[*row, *[(-1, 0.0)] * (most - len(row))] for row in axis]
        reads.append(tuple(tuple(place for place, _ in row) for row in full))
        weights = torch.kron(
            weights, torch.tensor([[weight for _, weight in row] for row in full], dtype=torch.float64)
        )
    return table(reads, numbers), weights


def _separated(step: Ran, sizes: Sequence[int]) -> list[Tensor]:
    """The matrices (outputs, inputs) of rows and of columns of which a pooling is the product.

    The operator is asked what becomes of each row of ones, looked at in the first column, and of each column, looked at
    in the first row; what becomes of ones there is in both of them, and taken out once.
    """

    def ask(values: Tensor) -> Tensor:
        made: Tensor = step.operator(values.unsqueeze(1), *step.args[1:], **step.kwargs)
        return made.squeeze(1)

    height, width = sizes
    rows = torch.eye(height, dtype=torch.float64).unsqueeze(2).expand(-1, -1, width)
    columns = torch.eye(width, dtype=torch.float64).unsqueeze(1).expand(-1, height, -1)
    whole = ask(torch.ones(1, height, width, dtype=torch.float64))[0, 0, 0]
    return [ask(rows)[:, :, 0].T / whole, ask(columns)[:, 0, :].T]


PLACE_OPERATORS: dict[Any, Callable[[Draft, Ran], bool]] = {
    _ATEN.max_pool2d_with_indices.default: _largest,
    _ATEN.mean.dim: _reduced,
    _ATEN.sum.dim_IntList: _reduced,
    _ATEN.avg_pool2d.default: _averaged,
    _ATEN._adaptive_avg_pool2d.default: _averaged,
}
"""Operator -> what lays it out, and says whether it could."""
