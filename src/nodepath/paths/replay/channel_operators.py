"""Operators that move axes, add values or lay channels side by side."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from nodepath.paths.replay.draft import Draft, Held
from nodepath.paths.replay.places import Axis
from nodepath.paths.replay.recording import Ran
from nodepath.paths.replay.steps import Add, Join, Layout

__all__ = ["CHANNEL_OPERATORS", "MOVES_AXES"]

_ATEN = torch.ops.aten
MOVES_AXES = {
    _ATEN.alias.default,
    _ATEN.clone.default,
    _ATEN.detach.default,
    _ATEN.expand.default,
    _ATEN._to_copy.default,
    _ATEN._unsafe_view.default,
    _ATEN.squeeze.default,
    _ATEN.squeeze.dim,
    _ATEN.squeeze.dims,
    _ATEN.unsqueeze.default,
    _ATEN.view.default,
}
"""Where the counts stay what they are if all axes but those of length 1 do."""


def _same(make: Draft, step: Ran) -> bool:
    """Axes of length 1 come and go."""
    (value,), (made,) = step.reads, step.makes
    assert made is not None
    held, shape = make.where[value], make.recording.shapes[made.number]
    layout = held.layout
    if shape == layout.shape:
        make.where[made] = held
        return True
    if layout.channel is None or layout.shape[layout.channel] == 1:
        return False
    long, after = ([i for i, size in enumerate(each) if size > 1] for each in (layout.shape, shape))
    if [layout.shape[i] for i in long] != [shape[i] for i in after]:
        return False
    beside = [i for i in range(len(layout.shape)) if i != layout.channel]
    axes = dict(zip(beside, layout.axes, strict=True))
    came_from = dict(zip(after, long, strict=True))
    channel = after[long.index(layout.channel)]
    kept = [axes[came_from[i]] if i in came_from else Axis.even(1) for i in range(len(shape)) if i != channel]
    make.where[made] = Held(held.number, Layout(shape, channel, tuple(kept), layout.labels))
    return True


def _permuted(make: Draft, step: Ran) -> bool:
    """The channels move past the other axes."""
    (made,), held = step.makes, make.where[step.reads[0]]
    assert made is not None
    layout = held.layout
    numbered = torch.empty([i + 2 for i in range(len(layout.shape))], device="meta")
    order = [size - 2 for size in step.operator(numbered, *step.args[1:], **step.kwargs).shape]
    beside = [i for i in order if i != layout.channel]
    if layout.channel is None or beside != sorted(beside):
        return False
    shape = make.recording.shapes[made.number]
    make.where[made] = Held(held.number, replace(layout, shape=shape, channel=order.index(layout.channel)))
    return True


def _add(make: Draft, step: Ran) -> bool:
    if len(step.reads) != 2 or step.kwargs.get("alpha", 1) != 1 or len(step.args) != 2:
        return False
    parts = [make.where[value] for value in step.reads]
    left, right = (part.layout for part in parts)
    if left.shape != right.shape or left.channel != right.channel:
        return False
    axes, indices = make.together(parts)
    make.ties.append((left.labels, right.labels))
    numbers = tuple(part.number for part in parts)
    return make.make(step.makes[0], replace(left, axes=axes), lambda made: Add(numbers, made, indices))


def _cat(make: Draft, step: Ran) -> bool:
    parts = [make.where[value] for value in step.reads]
    dims = len(parts[0].layout.shape)
    axis = (step.args[1] if len(step.args) > 1 else step.kwargs.get("dim", 0)) % dims
    alike = all(part.layout.channel == axis and len(part.layout.shape) == dims for part in parts)
    if len(step.args[0]) != len(parts) or not alike:  # a constant among them, or another axis
        return False
    axes, indices = make.together(parts)
    (value,) = step.makes
    assert value is not None
    labels = torch.cat([part.layout.labels for part in parts])
    layout = Layout(make.recording.shapes[value.number], axis, axes, labels)
    return make.make(value, layout, lambda made: Join(tuple(part.number for part in parts), made, indices))


CHANNEL_OPERATORS: dict[Any, Callable[[Draft, Ran], bool]] = {
    **dict.fromkeys(MOVES_AXES, _same),
    _ATEN.permute.default: _permuted,
    _ATEN.transpose.int: _permuted,
    _ATEN.t.default: _permuted,
    _ATEN.add.Tensor: _add,
    _ATEN.cat.default: _cat,
}
"""Operator -> what lays it out, and says whether it could."""
