"""Flow forwards and backwards over a course, with weights that become fewer."""

import math
from collections.abc import Collection
from functools import cached_property

import torch
from torch import Tensor

from nodepath.paths.replay.edges import Edges
from nodepath.paths.replay.ends import Bound
from nodepath.paths.replay.memory import Memory
from nodepath.paths.replay.moves import bound, can_be_listed
from nodepath.paths.replay.steps import Add, Apply, Course

__all__ = ["Sweep"]

_LEAST_EXPONENT = -1000


class Sweep:
    """Counts and slopes of one course, in memory of their own.

    Counts are mantissas. Each value has an exponent, chosen when the sweep is calibrated and left as it is while
    weights become fewer, so that a pass looks at no number; whoever needs to know whether they still fit asks for the
    `largest`. Slopes are those of the logarithm of the sum of the outputs in the mantissas. Both are float64, as are
    sums; only the shares of weights may be in another type, that of the edges, from which any of them can be
    had to the last digit, see `exact`.

    Args:
        course: The steps.
        edges: Of the layers whose shares are asked for.
        fixed: Of all others.
        alive: Of each label of channels, whether they are there, bool.

    Attributes:
        total: Mantissa of the sum of the outputs in the last pass; 0: there is no path.
    """

    def __init__(self, course: Course, edges: Edges, fixed: Edges, alive: Tensor) -> None:
        self.course, self.edges, self.fixed, self.alive = course, edges, fixed, alive
        self.memory = Memory(course, edges, fixed, alive)
        self.total = 0.0
        self._exponents = [0] * len(course.layouts)
        self._moves = self._bind()
        self._ends = self._leaving()
        self._scaled: list[tuple[int, Tensor]] = []  # the same, by the exponents of the values

    @cached_property
    def most_places(self) -> int:
        """Over how many places the share of a weight is summed at most."""
        layouts = self.course.layouts
        return max((layouts[n].places for n in self.memory.counts if layouts[n].channel is not None), default=1)

    @cached_property
    def listable(self) -> frozenset[str]:
        """Names of the layers that can do with a list of weights at each of their sites."""
        applied = [
            step for step in self.course.steps if isinstance(step, Apply) and step.site.name in self.edges.blocks
        ]
        not_so = {step.site.name for step in applied if not can_be_listed(self.memory, step)}
        return frozenset(step.site.name for step in applied if step.site.name and step.site.name not in not_so)

    def calibrate(self) -> bool:
        """Send flow forwards, and choose exponents so that the largest count of each value is about 1.

        Returns:
            Whether no count has overflowed on the way, or come near to underflow.
        """
        fits = True
        self._scaled.clear()
        for step, move in zip(self.course.steps, self._moves, strict=True):
            exponents = [self._exponents[number] for number in step.reads]
            exponent = max(exponents)
            move.factors[:] = [2.0 ** max(each - exponent, _LEAST_EXPONENT) for each in exponents]
            move.forward()
            if isinstance(step, Apply | Add) and self.memory.counts[step.makes].numel():
                largest = float(self.memory.counts[step.makes].amax())
                fits = fits and math.isfinite(largest) and (largest == 0 or 2.0**-60 < largest < 2.0**60)
                shift = math.frexp(largest)[1] if largest > 0 and math.isfinite(largest) else 0
                self.memory.counts[step.makes].mul_(2.0**-shift)
                move.factors[:] = [factor * 2.0**-shift for factor in move.factors]
                exponent += shift + (self._exponent_of(step) if isinstance(step, Apply) else 0)
            self._exponents[step.makes] = exponent
        return fits

    def run(self, *, slopes: bool = False) -> None:
        """Send flow forwards and slopes back; the shares of weights are then with the edges.

        Args:
            slopes: Leave the slopes in the weights there instead, which are there also where a weight is 0.
        """
        for move in self._moves:
            move.forward()
        if not self._scaled:
            top = max(self._exponents[number] for number, _ in self._ends)
            for number, many in self._ends:
                self._scaled.append((number, many * 2.0 ** max(self._exponents[number] - top, _LEAST_EXPONENT)))
        self.total = sum(
            float((self.memory.rows(number, self.memory.counts) * many).sum()) for number, many in self._scaled
        )
        if not 0 < self.total < math.inf:
            self.edges.shares.zero_()
            return
        for number, many in self._scaled:
            self.memory.rows(number, self.memory.slopes).copy_(many / self.total)
        for move in reversed(self._moves):
            move.backward()
        if not slopes:
            self.edges.shares.mul_(self.edges.held)

    def exact(self, name: str, places: Tensor) -> Tensor:
        """Shares of some weights of a layer, in the type of counts.

        Args:
            name: Of its parameter, one of the edges.
            places: In its block.
        """
        block = self.edges.blocks[name]
        group, row, cell, column = block.coordinates(places)
        column = cell * block.shape[3] + column
        total = torch.zeros(len(places), dtype=self.memory.dtype, device=self.memory.device)
        for step, move in zip(self.course.steps, self._moves, strict=True):
            if isinstance(step, Apply) and step.site.name == name and move.slopes_at is not None:
                first, count = step.site.first_row, len(step.site.row_range)
                whole = count == block.layer.shape[0]
                own = slice(None) if whole else ((row >= first) & (row < first + count)).nonzero().flatten()
                total[own] += move.slopes_at(group[own], row[own] - (0 if whole else first), column[own])
        return total * block.view(self.edges.held).reshape(-1)[places]

    def largest(self) -> float:
        """The largest count or slope; infinite or NaN if one is."""
        if not self.total:
            return 0.0
        return max(float(numbers.amax()) for numbers in (self.memory.all_counts, self.memory.all_slopes))

    def live_labels(self) -> Tensor:
        """Of each label, whether flow runs through a channel that bears it, bool."""
        live, memory = self.course.pinned.clone(), self.memory
        for number in memory.counts:
            if self.course.layouts[number].channel is not None:
                ends = (memory.rows(number, each) for each in (memory.counts, memory.slopes))
                through = torch.linalg.vecdot(*ends, dim=0)
                live[memory.labels[number]] |= (through > 0).cpu()
        return live & self.alive

    def work(self, weight: int, live: Tensor | None = None) -> int:
        """What a run takes, in products of a weight and a count: one at each place that a layer makes.

        Args:
            weight: What each weight takes beside.
            live: Of each label, bool: of these channels alone.
        """
        total, numbers = 0, {number: len(labels) for number, labels in self.memory.labels.items()}
        if live is not None:
            lives = live.numpy()
            numbers = {n: int(lives.take(labels.numpy()).sum()) for n, labels in self.memory.labels.items()}
        for step in self.course.steps:
            if isinstance(step, Apply):
                between = numbers[step.reads[0]] * numbers[step.makes] * math.prod(step.site.geometry.shape[2:])
                total += between * (self.course.layouts[step.makes].places + weight)
        return total

    def without(self, live: Tensor, listed: Collection[str] = ()) -> "Sweep":
        """The same without the channels of labels that are not live; the memory of this one is let go.

        Args:
            live: Of each label, bool.
            listed: Names of layers whose weights that are zero go as well.
        """
        rows: dict[str, Tensor] = {}
        columns: dict[str, Tensor] = {}
        for step in self.course.steps:
            if not isinstance(step, Apply) or step.site.name is None or step.site.geometry.groups > 1:
                continue
            for number, dead in ((step.makes, rows), (step.reads[0], columns)):
                dead[step.site.name] = ~live[self.course.layouts[number].labels[self.memory.channels(number)]]
        factors = [move.factors for move in self._moves]
        self._moves = []
        self.memory.let_go()
        made = Sweep(self.course, self.edges.without(rows, columns, listed), self.fixed.without(rows, columns), live)
        made._exponents = self._exponents
        for move, known in zip(made._moves, factors, strict=True):
            move.factors[:] = known
        return made

    def _exponent_of(self, step: Apply) -> int:
        for edges in (self.edges, self.fixed):
            if step.site.name in edges.blocks:
                return edges.blocks[step.site.name].exponent
        return 0

    def _bind(self) -> list[Bound]:
        written, touched = set(self.course.outputs), set()
        moves = []
        for step in reversed(self.course.steps):
            adds = []
            for number in step.reads:
                adds.append(1.0 if number in written else 0.0)
                written.add(number)
            part = (step.site.name, step.site.first_row) if isinstance(step, Apply) else None
            moves.append(bound(self.memory, step, adds, fresh=part not in touched))
            touched.add(part)
        return moves[::-1]

    def _leaving(self) -> list[tuple[int, Tensor]]:
        """Numbers of the values that leave, and how often each of their rows counts."""
        found = []
        for number in dict.fromkeys(self.course.outputs):
            layout, times = self.course.layouts[number], self.course.outputs.count(number)
            many = torch.ones(()) if layout.channel is None else layout.multiplicities.unsqueeze(1)
            found.append((number, (many * times).to(self.memory.device, self.memory.dtype)))
        return found
