"""Lay out a recorded walk: each layer and each operator becomes a step."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nodepath.paths.layer import Layer
from nodepath.paths.nested import tensors_in
from nodepath.paths.replay.channel_operators import CHANNEL_OPERATORS, MOVES_AXES
from nodepath.paths.replay.draft import Draft, reading_of
from nodepath.paths.replay.operator_calls import as_it_is
from nodepath.paths.replay.place_operators import PLACE_OPERATORS
from nodepath.paths.replay.places import layer_reads
from nodepath.paths.replay.recording import Applied, Ran, Recording
from nodepath.paths.replay.steps import Apply, Course, Free, Layout

__all__ = ["course"]

_RULES = {**CHANNEL_OPERATORS, **PLACE_OPERATORS}


def course(recording: Recording, layers: Mapping[str, Layer]) -> Course:
    """Lay out a recorded walk.

    Args:
        recording: The walk.
        layers: Parameter name -> layer.
    """
    draft = Draft(recording)
    for step in recording.steps:
        if isinstance(step, Applied):
            _apply(draft, step, layers)
        else:
            _run(draft, step)
    return draft.finished()


def _apply(draft: Draft, step: Applied, layers: Mapping[str, Layer]) -> None:
    site, geometry = step.site, step.site.geometry
    before, after = (draft.recording.shapes[value.number] for value in (step.reads, step.makes))
    channel = geometry.axis % len(before)
    held = draft.laid_out(draft.where[step.reads], channel)
    folded = [i in step.geometry.parallel for i in range(len(before)) if i != channel]
    reads = layer_reads(geometry, _without(before, channel), _without(after, channel), folded)
    axes, index = reading_of(held.layout, reads)
    labels = draft.fresh(geometry.outputs)
    whole = site.name is None or site.weight.shape[0] == layers[site.name].shape[0]
    if geometry.groups > 1 or not whole:
        draft.pins += [labels, held.layout.labels]
    if site.name is not None and whole:
        sides = draft.sides.setdefault(site.name, (held.layout.labels, labels))
        draft.ties += zip(sides, (held.layout.labels, labels), strict=True)
    layout = Layout(after, channel, axes, labels)
    draft.make(step.makes, layout, lambda made: Apply((held.number,), made, site, index))


def _run(draft: Draft, step: Ran) -> None:
    """An operator: a step of its own if it is known, else as it is."""
    rule = _RULES.get(step.operator)
    laid_out = all(draft.where[value].layout.channel is not None for value in step.reads)
    if rule is None or not (laid_out or step.operator in MOVES_AXES) or not rule(draft, step):
        _run_as_it_is(draft, step)


def _run_as_it_is(draft: Draft, step: Ran) -> None:
    reads = tuple(draft.as_walked(draft.where[value]).number for value in step.reads)
    for place, value in enumerate(step.makes):
        if value is not None:
            layout, run = Layout(draft.recording.shapes[value.number]), as_it_is(step, place)
            if _of_ones_makes_ones(draft, step, reads, run):
                draft.begin(value)
            else:
                draft.make(value, layout, partial(_free, reads, run))


def _of_ones_makes_ones(draft: Draft, step: Ran, reads: tuple[int, ...], run: Callable[..., Tensor]) -> bool:
    """Whether an input goes through unchanged, as when it is flattened."""
    if not set(reads).issubset(draft.sources) or tensors_in((step.args, step.kwargs)):
        return False
    return bool((run(*(torch.ones(draft.layouts[number].shape) for number in reads)) == 1).all())


def _free(reads: tuple[int, ...], run: Callable[..., Tensor], makes: int) -> Free:
    return Free(reads, makes, run)


def _without(values: Sequence[Any], place: int) -> list[Any]:
    return [value for i, value in enumerate(values) if i != place]
