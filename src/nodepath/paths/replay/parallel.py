"""Layers whose cells are parallel edges: at a single place, a kernel lies between the same two channels throughout."""

import math
from collections.abc import Collection
from dataclasses import replace

from nodepath.paths.layer import Layer
from nodepath.paths.replay.steps import Apply, Course, Step

__all__ = ["parallel_layers", "with_one_cell", "without_cells"]


def parallel_layers(course: Course) -> frozenset[str]:
    """Names of the layers that have several cells and apply all of them, wherever they are applied, to one place."""
    steps = [step for step in course.steps if isinstance(step, Apply)]
    others = {step.site.name for step in steps if not _is_parallel(course, step)}
    return frozenset(step.site.name for step in steps if step.site.name not in others and step.site.name is not None)


def without_cells(course: Course, names: Collection[str]) -> Course:
    """The same course of layers that have one cell each in place of all.

    Args:
        course: The steps.
        names: Of some of its `parallel_layers`.
    """

    def with_one(step: Step) -> Step:
        return replace(step, index=None) if isinstance(step, Apply) and step.site.name in names else step

    return replace(course, steps=tuple(map(with_one, course.steps)))


def with_one_cell(layer: Layer) -> Layer:
    """A layer of as many channels and kernels."""
    return replace(layer, shape=layer.shape[:2])


def _is_parallel(course: Course, step: Apply) -> bool:
    places = course.layouts[step.reads[0]].places * course.layouts[step.makes].places
    cells = math.prod(step.site.geometry.shape[2:])
    return places == 1 and cells > 1 and (step.index is None or not bool(step.index.any()))
