"""A course in the making: where each value of a recording is, and how its axes are to be read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nodepath.paths.replay.fused import fused
from nodepath.paths.replay.means_first import means_first
from nodepath.paths.replay.places import Axis, Reads, common, reading, table
from nodepath.paths.replay.recording import Recording, Value
from nodepath.paths.replay.steps import Course, Free, Layout, Step

__all__ = ["Draft", "Held", "reading_of"]


@dataclass(frozen=True)
class Held:
    """Where a value of the recording is: a value of the course, and how its axes are to be read."""

    number: int
    layout: Layout


class Draft:
    """A course in the making.

    Args:
        recording: The walk.

    Attributes:
        where: Value of the recording -> where it is.
        ties: Pairs of labels, of channels that are one.
        pins: Labels of channels that must stay.
        sides: Parameter name -> labels of the channels before and after the layer.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.layouts: list[Layout] = []
        self.steps: list[Step] = []
        self.where: dict[Value, Held] = {}
        self.others: dict[tuple[int, torch.Size, int | None], Held] = {}  # the same counts laid out otherwise
        self.labels = 0
        self.ties: list[tuple[Tensor, Tensor]] = []
        self.pins: list[Tensor] = []
        self.sides: dict[str, tuple[Tensor, Tensor]] = {}
        self.sources: list[int] = []
        for source in recording.sources:
            self.begin(source)

    def finished(self) -> Course:
        """The course."""
        roots = _roots(self.labels, self.ties)
        layouts = [replace(layout, labels=roots[layout.labels]) for layout in self.layouts]
        outputs = tuple(self.where[value].number for value in self.recording.outputs)
        pinned = torch.zeros(self.labels, dtype=torch.bool)
        for labels in (*self.pins, *(self.layouts[number].labels for number in outputs)):
            pinned[roots[labels]] = True
        steps = fused(_used(self.steps, outputs), outputs)
        layouts, steps = means_first(layouts, steps, outputs)
        return Course(tuple(layouts), tuple(self.sources), outputs, tuple(steps), pinned)

    def begin(self, value: Value) -> None:
        """File what is ones whatever flows."""
        self.where[value] = self.held(Layout(self.recording.shapes[value.number]))
        self.sources.append(self.where[value].number)

    def held(self, layout: Layout) -> Held:
        """A new value."""
        self.layouts.append(layout)
        return Held(len(self.layouts) - 1, layout)

    def fresh(self, number: int) -> Tensor:
        """New labels."""
        self.labels += number
        return torch.arange(self.labels - number, self.labels)

    def laid_out(self, held: Held, channel: int) -> Held:
        """The same counts as rows and columns, with the channels on that axis."""
        if held.layout.channel == channel:
            return held
        if held.layout.channel is not None:
            return self.laid_out(self.as_walked(held), channel)
        key = (held.number, held.layout.shape, channel)
        if key in self.others:
            return self.others[key]
        sizes = list(held.layout.shape)
        columns = sizes.pop(channel)
        if held.number in self.sources:  # ones, laid out from the beginning
            axes = tuple(map(Axis.even, sizes))
            made = self.held(Layout(held.layout.shape, channel, axes, self.fresh(columns)))
            self.sources.append(made.number)
        else:
            labels = self.fresh(columns)
            self.pins.append(labels)
            made = self.held(Layout(held.layout.shape, channel, tuple(map(Axis.distinct, sizes)), labels))

            def lay(counts: Tensor) -> Tensor:
                return counts.movedim(channel, -1).reshape(-1, columns)

            self.steps.append(Free((held.number,), made.number, lay))
        self.others[key] = made
        return made

    def as_walked(self, held: Held) -> Held:
        """The same counts as they lie in the walk."""
        layout = held.layout
        if layout.channel is None:
            return held
        key = (held.number, layout.shape, None)
        if key in self.others:
            return self.others[key]
        self.pins.append(layout.labels)
        made = self.held(Layout(layout.shape))
        sizes = list(layout.shape)
        columns, channel = sizes.pop(layout.channel), layout.channel
        index = table([tuple((each,) for each in axis.classes) for axis in layout.axes], layout.numbers).flatten()

        def unfold(rows: Tensor) -> Tensor:
            return rows[index.to(rows.device)].reshape(*sizes, columns).movedim(-1, channel).contiguous()

        self.steps.append(Free((held.number,), made.number, unfold))
        self.others[key] = made
        return made

    def make(self, value: Value | None, layout: Layout, build: Callable[[int], Step]) -> bool:
        """File what a step makes."""
        assert value is not None
        self.where[value] = self.held(layout)
        self.steps.append(build(self.where[value].number))
        return True

    def together(self, parts: Sequence[Held]) -> tuple[tuple[Axis, ...], tuple[Tensor | None, ...]]:
        """Axes that several values have in common, and which place of each every place reads."""
        axes = parts[0].layout.axes
        for part in parts[1:]:
            axes = tuple(common(one, other)[0] for one, other in zip(axes, part.layout.axes, strict=True))
        indices: list[Tensor | None] = []
        for part in parts:
            reads = [common(one, own)[2] for one, own in zip(axes, part.layout.axes, strict=True)]
            indices.append(None if part.layout.axes == axes else table(reads, part.layout.numbers).flatten())
        return axes, tuple(indices)


def reading_of(layout: Layout, reads: Sequence[Reads]) -> tuple[tuple[Axis, ...], Tensor | None]:
    """Axes of what reads a value, and its table; None for a table by which each place reads itself."""
    found = [reading(axis, rows) for axis, rows in zip(layout.axes, reads, strict=True)]
    axes = tuple(axis for axis, _ in found)
    index = table([rows for _, rows in found], layout.numbers)
    itself = (
        index.shape[1] == 1 and len(index) == layout.places and torch.equal(index.flatten(), torch.arange(len(index)))
    )
    return axes, None if itself else index


def _roots(number: int, ties: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """The least label of all that each is tied to, directly or not (number,)."""
    least = torch.arange(number)
    while ties:
        before = least.clone()
        for left, right in ties:
            joined = torch.minimum(least[left], least[right])
            least.scatter_reduce_(0, left, joined, "amin")
            least.scatter_reduce_(0, right, joined, "amin")
        least = torch.minimum(least, least[least])
        if torch.equal(least, before):
            break
    return least


def _used(steps: Sequence[Step], outputs: Sequence[int]) -> list[Step]:
    """Those that something which leaves depends on."""
    needed, kept = set(outputs), []
    for step in reversed(steps):
        if step.makes in needed:
            needed.update(step.reads)
            kept.append(step)
    return kept[::-1]
