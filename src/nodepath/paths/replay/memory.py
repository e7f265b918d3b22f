"""Counts and slopes of all values of a course, in one piece of memory each."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from nodepath.paths.replay.edges import Edges
from nodepath.paths.replay.steps import Apply, Course, Step

__all__ = ["Memory"]


class Memory:
    """What a sweep writes to.

    Args:
        course: The steps.
        edges: Of the layers whose shares are asked for.
        fixed: Of all others.
        alive: Of each label of channels, whether they are there, bool.

    Attributes:
        labels: Number of a value -> those of the channels that are there.
        counts: Number of a value -> rows and columns, with a last row of zeros that stands for padding; or as it lies
            in the walk. Those of the sources are ones.
        slopes: The same of slopes.
        all_counts, all_slopes: The same in one piece.
        borrowed: For what a layer reads and for the slopes of that, while it does so.
    """

    def __init__(self, course: Course, edges: Edges, fixed: Edges, alive: Tensor) -> None:
        self.course, self.edges, self.fixed, self.alive = course, edges, fixed, alive
        self.device = edges.held.device
        self.dtype = torch.float32 if self.device.type == "mps" else torch.float64  # which has no other
        layouts = course.layouts
        used = {number for step in course.steps for number in (*step.reads, step.makes)} | {*course.outputs}
        self.labels = {number: layouts[number].labels[self.channels(number)] for number in sorted(used)}
        shapes = {
            number: tuple(layouts[number].shape)
            if layouts[number].channel is None
            else (layouts[number].places + 1, len(labels))
            for number, labels in self.labels.items()
        }
        self.all_counts, self.counts = self._laid_out(shapes)
        self.all_slopes, self.slopes = self._laid_out(shapes)
        for number in used.intersection(course.sources):
            self.rows(number, self.counts).fill_(1)
        most = max(map(self._read, course.steps), default=0)
        self.borrowed = tuple(torch.empty(most, dtype=self.dtype, device=self.device) for _ in range(2))

    def _read(self, step: Step) -> int:
        """How many numbers a layer borrows memory for: what it reads, each as often as it does."""
        if not isinstance(step, Apply) or step.index is None or step.site.geometry.by_channel:
            return 0
        return step.index.numel() * self.counts[step.reads[0]].shape[1]

    def channels(self, number: int) -> Tensor:
        """Which channels of a value are there, bool (channels of the network,)."""
        return self.alive[self.course.layouts[number].labels]

    def rows(self, number: int, memory: Mapping[int, Tensor]) -> Tensor:
        """A value's rows without the last, which stands for padding; or the value as it lies in the walk."""
        return memory[number] if self.course.layouts[number].channel is None else memory[number][:-1]

    def let_go(self) -> None:
        """Free all of it."""
        self.counts, self.slopes, self.borrowed = {}, {}, ()
        self.all_counts = self.all_slopes = self.all_counts.new_empty(0)

    def _laid_out(self, shapes: Mapping[int, tuple[int, ...]]) -> tuple[Tensor, dict[int, Tensor]]:
        sizes = [math.prod(shape) for shape in shapes.values()]
        whole = torch.zeros(sum(sizes), dtype=self.dtype, device=self.device)
        parts = zip(shapes.items(), torch.split(whole, sizes), strict=True)
        return whole, {number: part.view(shape) for (number, shape), part in parts}
