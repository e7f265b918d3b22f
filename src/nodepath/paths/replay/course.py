"""A recorded walk, laid out: each activation as a matrix of places and channels, each operator as a step between."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from nodepath.paths.layer import Layer
from nodepath.paths.replay.places import Axis, Reads, common, layer_reads, reading, table, window_reads
from nodepath.paths.replay.recording import Applied, Ran, Recording, Value
from nodepath.paths.site import Site

__all__ = ["Add", "Apply", "Course", "Free", "Join", "Largest", "Layout", "Mean", "Step", "course"]

_ATEN = torch.ops.aten
_SAME = {
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


@dataclass(frozen=True)
class Layout:
    """How counts lie in memory.

    Attributes:
        shape: Of the counts in the walk.
        channel: Which axis holds the channels, each a column; None: the counts lie as in the walk.
        axes: The others, whose classes together are the rows.
        labels: Of each channel a number that it shares with those that it is added to.
    """

    shape: torch.Size
    channel: int | None = None
    axes: tuple[Axis, ...] = ()
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))

    @property
    def numbers(self) -> list[int]:
        """How many classes each axis has."""
        return [axis.number for axis in self.axes]

    @property
    def places(self) -> int:
        """How many rows there are."""
        return math.prod(self.numbers)

    @property
    def multiplicities(self) -> Tensor:
        """How many places of the walk each row stands for (places,)."""
        found = torch.ones(1, dtype=torch.float64)
        for axis in self.axes:
            found = torch.outer(found, torch.tensor(axis.sizes, dtype=torch.float64)).flatten()
        return found


@dataclass(frozen=True, eq=False)
class Step:
    """What makes a value of others.

    Attributes:
        reads: Numbers of values.
        makes: Number of a value.
    """

    reads: tuple[int, ...]
    makes: int


@dataclass(frozen=True, eq=False)
class Apply(Step):
    """A layer.

    Attributes:
        site: Where.
        index: (places, cells) which place each cell reads; None: each place reads itself, with its only cell.
    """

    site: Site
    index: Tensor | None


@dataclass(frozen=True, eq=False)
class Add(Step):
    """The sum of two values.

    Attributes:
        indices: Of either, which place each place reads; None: itself.
    """

    indices: tuple[Tensor | None, ...]


@dataclass(frozen=True, eq=False)
class Join(Step):
    """Channels side by side.

    Attributes:
        indices: As of `Add`, of each value.
    """

    indices: tuple[Tensor | None, ...]


@dataclass(frozen=True, eq=False)
class Largest(Step):
    """The maximum over a window; among equal ones, the first.

    Attributes:
        index: (places, cells) which place each cell reads.
    """

    index: Tensor


@dataclass(frozen=True, eq=False)
class Mean(Step):
    """A weighted sum over places.

    Attributes:
        index: (places, cells) which place each cell reads.
        weights: (places, cells) the factor of each.
    """

    index: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class Free(Step):
    """Any function that is homogeneous of degree 1, of counts as they lie in the walk or as rows and columns.

    Attributes:
        run: The function.
    """

    run: Callable[..., Tensor]


@dataclass(frozen=True)
class Course:
    """A walk as steps.

    Attributes:
        layouts: Of each value.
        sources: Numbers of the values that are inputs, ones.
        outputs: Numbers of those that leave.
        steps: In order.
        pinned: Of each label, whether its channels must stay, bool (labels,).
    """

    layouts: tuple[Layout, ...]
    sources: tuple[int, ...]
    outputs: tuple[int, ...]
    steps: tuple[Step, ...]
    pinned: Tensor


def course(recording: Recording, layers: Mapping[str, Layer]) -> Course:
    """Lay out a recorded walk.

    Args:
        recording: The walk.
        layers: Parameter name -> layer.
    """
    return _Course(recording, layers).finished()


@dataclass(frozen=True)
class _Held:
    """Where a value of the recording is: a value of the course, and how its axes are to be read."""

    number: int
    layout: Layout


class _Course:
    """A course in the making."""

    def __init__(self, recording: Recording, layers: Mapping[str, Layer]) -> None:
        self.recording = recording
        self.layers = layers
        self.layouts: list[Layout] = []
        self.steps: list[Step] = []
        self.where: dict[Value, _Held] = {}
        self.others: dict[tuple[int, torch.Size, int | None], _Held] = {}  # the same counts laid out otherwise
        self.labels = 0
        self.ties: list[tuple[Tensor, Tensor]] = []
        self.pins: list[Tensor] = []
        self.sides: dict[str, tuple[Tensor, Tensor]] = {}  # labels of the channels before and after a layer
        self.sources = []
        for source in recording.sources:
            self.where[source] = self.held(Layout(recording.shapes[source.number]))
            self.sources.append(self.where[source].number)
        for step in recording.steps:
            if isinstance(step, Applied):
                self.apply(step)
            else:
                self.run(step)

    def finished(self) -> Course:
        roots = _roots(self.labels, self.ties)
        layouts = tuple(replace(layout, labels=roots[layout.labels]) for layout in self.layouts)
        outputs = tuple(self.where[value].number for value in self.recording.outputs)
        pinned = torch.zeros(self.labels, dtype=torch.bool)
        for labels in (*self.pins, *(self.layouts[number].labels for number in outputs)):
            pinned[roots[labels]] = True
        steps = _used(self.steps, outputs)
        return Course(layouts, tuple(self.sources), outputs, tuple(steps), pinned)

    def held(self, layout: Layout) -> _Held:
        """A new value."""
        self.layouts.append(layout)
        return _Held(len(self.layouts) - 1, layout)

    def fresh(self, number: int) -> Tensor:
        self.labels += number
        return torch.arange(self.labels - number, self.labels)

    def laid_out(self, held: _Held, channel: int) -> _Held:
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

    def as_walked(self, held: _Held) -> _Held:
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

    def apply(self, step: Applied) -> None:
        site, geometry = step.site, step.site.geometry
        before, after = (self.recording.shapes[value.number] for value in (step.reads, step.makes))
        channel = geometry.axis % len(before)
        held = self.laid_out(self.where[step.reads], channel)
        folded = [i in step.geometry.parallel for i in range(len(before)) if i != channel]
        reads = layer_reads(geometry, _without(before, channel), _without(after, channel), folded)
        axes, index = _reading(held.layout, reads)
        labels = self.fresh(geometry.outputs)
        whole = site.name is None or site.weight.shape[0] == self.layers[site.name].shape[0]
        if geometry.groups > 1 or not whole:
            self.pins += [labels, held.layout.labels]
        if site.name is not None and whole:
            sides = self.sides.setdefault(site.name, (held.layout.labels, labels))
            self.ties += zip(sides, (held.layout.labels, labels), strict=True)
        made = self.held(Layout(after, channel, axes, labels))
        self.steps.append(Apply((held.number,), made.number, site, index))
        self.where[step.makes] = made

    def run(self, step: Ran) -> None:
        """An operator: a step of its own if it is known, else as it is."""
        rule = _RULES.get(step.operator)
        laid_out = all(self.where[value].layout.channel is not None for value in step.reads)
        if rule is None or not (laid_out or step.operator in _SAME) or not rule(self, step):
            self.free(step)

    def free(self, step: Ran) -> None:
        reads = tuple(self.as_walked(self.where[value]).number for value in step.reads)
        for place, value in enumerate(step.makes):
            if value is not None:
                self.where[value] = self.held(Layout(self.recording.shapes[value.number]))
                self.steps.append(Free(reads, self.where[value].number, _filled(step, place)))

    def make(self, value: Value | None, layout: Layout, build: Callable[[int], Step]) -> bool:
        """File what a step makes."""
        assert value is not None
        self.where[value] = self.held(layout)
        self.steps.append(build(self.where[value].number))
        return True

    def together(self, parts: Sequence[_Held]) -> tuple[tuple[Axis, ...], tuple[Tensor | None, ...]]:
        """Axes that several values have in common, and which place of each every place reads."""
        axes = parts[0].layout.axes
        for part in parts[1:]:
            axes = tuple(common(one, other)[0] for one, other in zip(axes, part.layout.axes, strict=True))
        indices: list[Tensor | None] = []
        for part in parts:
            reads = [common(one, own)[2] for one, own in zip(axes, part.layout.axes, strict=True)]
            indices.append(None if part.layout.axes == axes else table(reads, part.layout.numbers).flatten())
        return axes, tuple(indices)


def _reading(layout: Layout, reads: Sequence[Reads]) -> tuple[tuple[Axis, ...], Tensor | None]:
    """Axes of what reads a value, and its table; None for a table by which each place reads itself."""
    found = [reading(axis, rows) for axis, rows in zip(layout.axes, reads, strict=True)]
    axes = tuple(axis for axis, _ in found)
    index = table([rows for _, rows in found], layout.numbers)
    itself = (
        index.shape[1] == 1 and len(index) == layout.places and torch.equal(index.flatten(), torch.arange(len(index)))
    )
    return axes, None if itself else index


def _without(values: Sequence[Any], place: int) -> list[Any]:
    return [value for i, value in enumerate(values) if i != place]


def _filled(step: Ran, place: int) -> Callable[..., Tensor]:
    order = {value: i for i, value in reversed(list(enumerate(step.reads)))}

    def fill(argument: Any, counts: Sequence[Tensor]) -> Any:
        if isinstance(argument, Value):
            return counts[order[argument]]
        if isinstance(argument, tuple | list):
            return type(argument)(fill(each, counts) for each in argument)
        return argument

    def run(*counts: Tensor) -> Tensor:
        dtype = counts[0].dtype
        args = fill(step.args, counts)
        kwargs = {key: fill(each, counts) for key, each in step.kwargs.items()}
        args = tuple(_cast(each, dtype) for each in args)
        made = step.operator(*args, **{key: _cast(each, dtype) for key, each in kwargs.items()})
        result: Tensor = made[place] if isinstance(made, tuple | list) else made
        return result

    return run


def _cast(argument: Any, dtype: torch.dtype) -> Any:
    """Constants of the recording in the type of the counts."""
    if isinstance(argument, Tensor) and argument.is_floating_point():
        return argument.to(dtype)
    if isinstance(argument, list):
        return [_cast(each, dtype) for each in argument]
    return dtype if argument is torch.float32 else argument


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


# operators that act on places alone, or on channels


def _same(make: _Course, step: Ran) -> bool:
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
    make.where[made] = _Held(held.number, Layout(shape, channel, tuple(kept), layout.labels))
    return True


def _permuted(make: _Course, step: Ran) -> bool:
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
    make.where[made] = _Held(held.number, replace(layout, shape=shape, channel=order.index(layout.channel)))
    return True


def _add(make: _Course, step: Ran) -> bool:
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


def _cat(make: _Course, step: Ran) -> bool:
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


def _largest(make: _Course, step: Ran) -> bool:
    value, held = step.makes[0], make.where[step.reads[0]]
    layout = held.layout
    if value is None or layout.channel != 1 or len(layout.shape) != 4:
        return False
    kernel = _numbers(step.args[1], 2)
    stride, padding, dilation = [*step.args[2:5], None, None, None][:3]
    options = kernel, _numbers(stride, 2) if stride else kernel, _numbers(padding or 0, 2), _numbers(dilation or 1, 2)
    shape = make.recording.shapes[value.number]
    spatial = zip(layout.shape[2:], shape[2:], *options, strict=True)
    axes, index = _reading(layout, [_itself(layout.shape[0]), *(window_reads(*each) for each in spatial)])
    if index is None:
        make.where[value] = _Held(held.number, replace(layout, shape=shape))
        return True
    return make.make(value, Layout(shape, 1, axes, layout.labels), lambda made: Largest((held.number,), made, index))


def _numbers(value: Any, dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values


def _itself(size: int) -> Reads:
    return tuple((place,) for place in range(size))


def _reduced(make: _Course, step: Ran) -> bool:
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


def _averaged(make: _Course, step: Ran) -> bool:
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


_RULES: dict[Any, Callable[[_Course, Ran], bool]] = {
    **dict.fromkeys(_SAME, _same),
    _ATEN.permute.default: _permuted,
    _ATEN.transpose.int: _permuted,
    _ATEN.t.default: _permuted,
    _ATEN.add.Tensor: _add,
    _ATEN.cat.default: _cat,
    _ATEN.max_pool2d_with_indices.default: _largest,
    _ATEN.mean.dim: _reduced,
    _ATEN.sum.dim_IntList: _reduced,
    _ATEN.avg_pool2d.default: _averaged,
    _ATEN._adaptive_avg_pool2d.default: _averaged,
}
