"""Means before layers: a mean over what a layer makes is what it makes of means.

Behind the last layers of most networks stands a mean over all places. A layer is linear, so it can make that mean at
once, at one place, of the means over what each of its cells reads; the layer before makes those, at as many places as
there are different ones, and so on: of an image of 8 x 8 places, one, nine and 25 in the last three layers of 3 x 3.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from nodepath.paths.replay.places import Axis
from nodepath.paths.replay.steps import Add, Apply, Join, Layout, Mean, Step

__all__ = ["means_first"]

_FEWER = 2
"""A step makes means at once where they are so many times fewer than its places."""

_MOST = 1 << 22
"""So many numbers say what the means of one step are made of; where it would take more, the step stays."""


def means_first(
    layouts: Sequence[Layout], steps: Sequence[Step], outputs: Collection[int]
) -> tuple[list[Layout], list[Step]]:
    """Steps that make the same outputs at fewer places, and layouts, of which the first are as given.

    Args:
        layouts: Of each value.
        steps: In order.
        outputs: Numbers of the values that leave.

    Cost: of each step that makes means at once, a matrix of these and of the places that it reads.
    """
    if not any(isinstance(step, Mean) for step in steps):
        return list(layouts), list(steps)
    asked: dict[int, _Asked] = defaultdict(_Asked)
    whole, plans = set(outputs), []
    for step in reversed(steps):
        plan = _Plan(step, asked[step.makes].settled(layouts[step.makes].places), step.makes in whole)
        plans.append(plan)
        if isinstance(step, Mean) and len(step.index) * layouts[step.reads[0]].places <= _MOST:
            matrix = _matrix(step, layouts[step.reads[0]].places)
            source = asked[step.reads[0]]
            plan.parts = [source.ask(plan.means.rows @ matrix)]
            plan.itself = source.ask(matrix) if plan.whole else None
        elif not plan.whole and _worth(step, len(plan.means.rows), layouts):
            plan.parts = [asked[n].ask(rows) for n, rows in _through(step, plan.means.rows, layouts)]
        else:
            whole.update(step.reads)
    return _Rebuilt(layouts, asked, outputs).run(plans[::-1])


@dataclass(frozen=True)
class _Means:
    """Different means over the places of a value.

    Attributes:
        rows: What each of them is made of (means, places).
        which: Of each that was asked for, its number; -1: it is none of any place.
    """

    rows: Tensor
    which: Tensor


@dataclass
class _Asked:
    """The means that are asked for of one value."""

    blocks: list[Tensor] = field(default_factory=list)
    number: int = 0
    means: _Means | None = None

    def ask(self, rows: Tensor) -> slice:
        """Ask for more; which of all they are."""
        self.blocks.append(rows)
        self.number += len(rows)
        return slice(self.number - len(rows), self.number)

    def settled(self, places: int) -> _Means:
        """All of them, once no more will be asked for."""
        if self.means is None and not self.blocks:
            self.means = _Means(torch.empty(0, places, dtype=torch.float64), torch.empty(0, dtype=torch.long))
        if self.means is None:
            self.means = _different(torch.cat(self.blocks))
        return self.means


@dataclass
class _Plan:
    """What becomes of a step.

    Attributes:
        step: The step.
        means: That it is asked for.
        whole: What it makes is needed at all places.
        parts: If it makes means at once, which means of what it reads they are made of; None: it stays as it is.
        itself: If it is a mean itself, and needed, which means of what it reads that is.
    """

    step: Step
    means: _Means
    whole: bool
    parts: list[slice] | None = None
    itself: slice | None = None


class _Rebuilt:
    """Steps and layouts in the making."""

    def __init__(self, layouts: Sequence[Layout], asked: dict[int, _Asked], outputs: Collection[int]) -> None:
        self.before, self.asked, self.outputs = layouts, asked, outputs
        self.layouts, self.steps = list(layouts), list[Step]()
        self.where: dict[int, tuple[int, Tensor]] = {}
        """Value -> the value that holds its means, and where."""
        self.instead: dict[int, int] = {}
        """Value -> another that is the same."""

    def run(self, plans: Sequence[_Plan]) -> tuple[list[Layout], list[Step]]:
        """All of them."""
        for plan in plans:
            if plan.parts is None:
                self._as_it_is(plan.step)
            elif isinstance(plan.step, Mean):
                self._mean(plan.step, plan)
            else:
                self._at_once(plan.step, plan)
        return self.layouts, self.steps

    def _as_it_is(self, step: Step) -> None:
        self.steps.append(replace(step, reads=tuple(self.instead.get(value, value) for value in step.reads)))

    def _value(self, like: int, places: int) -> int:
        """A new value of other places."""
        self.layouts.append(replace(self.before[like], axes=(Axis.distinct(places),)))
        return len(self.layouts) - 1

    def _means(self, value: int, part: slice) -> tuple[int, Tensor]:
        """The value that holds some means of another, and in which of its rows."""
        means = self.asked[value].settled(self.before[value].places)
        if value not in self.where:  # what it makes is there, and its means are not yet
            places = torch.arange(means.rows.shape[1]).expand(means.rows.shape)
            made = self._value(value, len(means.rows))
            self.steps.append(Mean((value,), made, places, means.rows))
            self.where[value] = made, torch.arange(len(means.rows))
        holds, rows = self.where[value]
        padding = self.layouts[holds].places
        return holds, torch.cat([rows, torch.tensor([padding])])[means.which[part]]

    def _at_once(self, step: Step, plan: _Plan) -> None:
        """The means of what a step makes, of means."""
        assert plan.parts is not None
        number = len(plan.means.rows)
        held = [self._means(value, part) for value, part in zip(step.reads, plan.parts, strict=True)]
        reads, made = tuple(value for value, _ in held), self._value(step.makes, number)
        tables = [None if len(rows) == number and self._all(value, rows) else rows for value, rows in held]
        if isinstance(step, Apply):
            index = None if tables[0] is None else tables[0].view(number, -1)
            self.steps.append(Apply(reads, made, step.site, index))
        else:
            assert isinstance(step, Add | Join)
            self.steps.append(replace(step, reads=reads, makes=made, indices=tuple(tables)))
        self.where[step.makes] = made, torch.arange(number)

    def _mean(self, step: Mean, plan: _Plan) -> None:
        """Its means are means of what it reads."""
        (value,) = step.reads
        assert plan.parts is not None
        if not len(plan.means.rows) and value not in self.where:
            self._as_it_is(step)
            return
        if len(plan.means.rows):
            self.where[step.makes] = self._means(value, plan.parts[0])
        if plan.itself is None:
            return
        holds, rows = self._means(value, plan.itself)
        if self._all(holds, rows) and step.makes not in self.outputs:
            self.instead[step.makes] = holds
        else:
            self.steps.append(Mean((holds,), step.makes, rows.unsqueeze(1), torch.ones(len(rows), 1).double()))

    def _all(self, value: int, rows: Tensor) -> bool:
        """Whether those are all rows of a value, in order."""
        return torch.equal(rows, torch.arange(self.layouts[value].places))


def _worth(step: Step, means: int, layouts: Sequence[Layout]) -> bool:
    if not isinstance(step, Apply | Add | Join) or not 0 < _FEWER * means <= layouts[step.makes].places:
        return False
    sizes = [index.numel() // len(index) * layouts[n].places for n, index in _tables(step, layouts)]
    return means * max(sizes) <= _MOST


def _through(step: Step, means: Tensor, layouts: Sequence[Layout]) -> Iterator[tuple[int, Tensor]]:
    """Of each value that a step reads, the means that its own are made of (means * cells, places)."""
    for value, index in _tables(step, layouts):
        cells, read = index.shape[1], layouts[value].places
        columns = (index + torch.arange(cells) * (read + 1)).flatten()
        found = means.new_zeros(len(means), cells * (read + 1))
        found.index_add_(1, columns, means.repeat_interleave(cells, 1))
        yield value, found.view(-1, read + 1)[:, :read]  # without padding


def _tables(step: Step, layouts: Sequence[Layout]) -> list[tuple[int, Tensor]]:
    """Of each value that a step reads, which of its places each cell of each place reads (places, cells)."""
    indices = (step.index,) if isinstance(step, Apply) else step.indices if isinstance(step, Add | Join) else ()
    itself = torch.arange(layouts[step.makes].places)
    tables = [(itself if index is None else index) for index in indices]
    return [(value, each.view(len(itself), -1)) for value, each in zip(step.reads, tables, strict=True)]


def _matrix(step: Mean, read: int) -> Tensor:
    """A mean as a matrix (places made, places read)."""
    found = torch.zeros(len(step.index), read + 1, dtype=torch.float64)
    return found.scatter_add_(1, step.index, step.weights.double())[:, :read]


@lru_cache(maxsize=64)
def _mixture(places: int) -> Tensor:
    """Numbers by which sums of different places are told apart."""
    return torch.rand(places, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _different(rows: Tensor) -> _Means:
    """Those that differ by more than rounding, and are something at all."""
    mixed = rows @ _mixture(rows.shape[1])
    mantissas, exponents = np.frexp(mixed.numpy())
    keys = np.ldexp(np.round(mantissas, 11), exponents)
    _, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(firsts)  # as they were asked for first
    order = order[keys[firsts[order]] != 0]
    numbers = np.full(len(firsts), -1)
    numbers[order] = np.arange(len(order))
    found = _Means(rows[firsts[order]], torch.from_numpy(numbers[inverse.reshape(-1)]))
    again = torch.cat([found.rows, torch.zeros(1, rows.shape[1]).double()])[found.which]
    # two that differ may have one key, once in thousands of networks: then each is made by itself
    return found if torch.allclose(again, rows, rtol=1e-9, atol=0.0) else _Means(rows, torch.arange(len(rows)))
