"""Flow through what is left of a network, prune what carries the least, forget the channels that carry none."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodepath.errors import NonFiniteError
from nodepath.masks import count_true
from nodepath.methods.flow.lasting import Lasting
from nodepath.methods.flow.threshold import Lowest, Pieces
from nodepath.methods.problem import Problem
from nodepath.paths.replay.edges import Edges
from nodepath.paths.replay.steps import Course
from nodepath.paths.replay.sweep import Sweep

__all__ = ["Contest", "Thinning"]

_SHRINKS = 0.75
"""When so few of the weights are left, channels are looked through again."""

_FEW = 0.5
"""So few of the weights of a layer are put on a list, where each costs twice as much."""

_FEWER = 0.7
"""So few of the weights on a list are put on a shorter one."""

_WORTH = 0.8
"""If so few of the weights lie between those that carry flow, the others are forgotten; it costs about an iteration."""


@dataclass
class Contest:
    """Layers whose weights compete for one budget.

    Attributes:
        names: Of their parameters.
        keeps: How many weights they keep in the end.
        alive: How many there are.
        pruned: Whether any have been.
        silent: Which are left, if more were to be kept than carry any flow, so that positions have decided; else empty.
        pieces: Of the memory.
        left: How many weights there are in each piece, if the memory is the one of the step before.
    """

    names: tuple[str, ...]
    keeps: int
    alive: int
    pruned: bool = False
    silent: dict[str, Tensor] = field(default_factory=dict)
    pieces: Pieces = field(init=False)
    left: NDArray[np.int64] | None = None

    @property
    def whole(self) -> bool:
        """Nothing is to be pruned."""
        return self.keeps >= self.alive and not self.pruned


@dataclass
class Thinning:
    """Weights that become fewer.

    Counts are float64. Shares are float32 as long as nothing that underflows could move a threshold, which is looked at
    in each step, and float64 from then on; which of those close to a threshold are above it is told in float64 anyway.
    It matters: who has lost a rounding loses more from step to step, and a tenth of the mask would be another one.

    Args:
        problem: The task.
        course: Of its network.
        start: Parameter name -> which weights there are at first.
        contests: Who competes.
        dtype: Of shares at first.
    """

    problem: Problem
    course: Course
    start: Mapping[str, Tensor]
    contests: tuple[Contest, ...]
    dtype: torch.dtype = torch.float32
    lasting: Lasting = field(default_factory=Lasting)

    def __post_init__(self) -> None:
        self._build(self.start)

    def _build(self, masks: Mapping[str, Tensor]) -> None:
        problem = self.problem
        magnitudes = {
            name: weight.abs() * masks[name] if name in masks else weight for name, weight in problem.weights.items()
        }
        others = [layer for name, layer in problem.network.layers.items() if name not in masks]
        edges = Edges.of(problem.layers, magnitudes, self.dtype)
        fixed = Edges.of(others, magnitudes, self.dtype)
        self.sweep = Sweep(self.course, edges, fixed, torch.ones_like(self.course.pinned))
        self._looked_at = math.inf
        self._cut_in_pieces()
        self.sweep.calibrate()

    def _cut_in_pieces(self) -> None:
        """Anew, for each contest."""
        for contest in self.contests:
            contest.pieces, contest.left = Pieces.of(self.sweep.edges, contest.names), None

    def step(self, number: int, targets: Mapping[int, int]) -> None:
        """Prune once.

        Args:
            number: Of the step, from 1.
            targets: Of each contest that prunes, by its place: how many weights it keeps.
        """
        for place, lowest in self._lowest(targets).items():
            contest, edges = self.contests[place], self.sweep.edges
            if lowest.threshold == 0:
                contest.silent = self._first_of(contest, targets[place])
                continue
            contest.silent = {}
            for name in lowest.cut_off(contest.left):
                self._note(name, number, edges.held)
            lowest.drop(contest.left)
            contest.left = lowest.left
            for name, left in zip(contest.names, lowest.pieces.by_layer(contest.left), strict=True):
                if not left:
                    self._note(name, number, edges.shares)
            contest.alive, contest.pruned = targets[place], True
        if not any(contest.silent for contest in self.contests):
            self._forget()

    def masks(self) -> dict[str, Tensor]:
        """Parameter name -> what is left."""
        found: dict[str, Tensor] = {}
        for contest in self.contests:
            found |= self._left(contest)
        return {name: found[name] for name in self.start}

    def _left(self, contest: Contest) -> dict[str, Tensor]:
        """Parameter name -> what is left of the layers of a contest."""
        if contest.silent or not contest.pruned:
            return contest.silent or {name: self.start[name] for name in contest.names}
        edges = self.sweep.edges
        return {name: edges.blocks[name].filled(edges.blocks[name].view(edges.held) > 0) for name in contest.names}

    def _note(self, name: str, number: int, alive: Tensor) -> None:
        """Take down the scores of a layer of which nothing will be left, if it has not been done."""
        if name not in self.lasting:
            block = self.sweep.edges.blocks[name]
            shares, left = (block.view(each).clone() for each in (self.sweep.edges.shares, alive))
            self.lasting.note(name, number, block, shares, left)

    def finish(self, number: int) -> Lasting:
        """Take down the scores of all layers that are left.

        Args:
            number: Of the last step.
        """
        edges = self.sweep.edges
        for name, block in edges.blocks.items():
            if name not in self.lasting:
                self.lasting.note(name, number, block, block.view(edges.shares), block.view(edges.held))
        return self.lasting

    def _lowest(self, targets: Mapping[int, int]) -> dict[int, Lowest]:
        """What each contest drops."""
        calibrated = False
        while True:
            self.sweep.run()
            sweep = self.sweep
            found = {place: Lowest.of(sweep, self.contests[place].pieces, keep) for place, keep in targets.items()}
            largest = self.sweep.largest()
            if self._is_exact(found, largest):
                return found
            if not calibrated and all(lowest.threshold for lowest in found.values()):
                calibrated = self.sweep.calibrate()
                if calibrated:
                    continue
            if self.dtype != torch.float64:
                self.dtype = torch.float64
                self._build({n: b.filled(b.view(sweep.edges.held) > 0) for n, b in sweep.edges.blocks.items()})
                calibrated = True
                continue
            if not math.isfinite(largest):
                raise NonFiniteError(
                    "the counts of the channels of one layer differ by more than a factor of 2**1000, which one "
                    "exponent a tensor cannot hold; check the weights"
                )
            return found

    def _is_exact(self, found: Mapping[int, Lowest], largest: float) -> bool:
        """Whether what underflows is too little to matter.

        A product of a count and a slope that underflows is less than the least normal number times the larger of the
        two; there are less than 2**24 of them in a share, so what is lost is less than 2**-30 of the threshold.
        """
        lost = largest * torch.finfo(self.dtype).tiny * 2.0**54
        return math.isfinite(largest) and all(lowest.threshold > lost for lowest in found.values())

    def _forget(self) -> None:
        """Channels that carry no flow, and weights that are gone from layers that can do with a list of the others."""
        left = sum(contest.alive for contest in self.contests)
        if left > _SHRINKS * self._looked_at:
            return
        self._looked_at = left
        sweep, live = self.sweep, self.sweep.live_labels()
        listed = [name for contest in self.contests if contest.pruned for name in self._sparse(contest)]
        fewer = sweep.size(live) <= _WORTH * sweep.size(sweep.alive)
        if fewer or listed:
            self.sweep = sweep.without(live if fewer else sweep.alive, listed)
            self._cut_in_pieces()

    def _sparse(self, contest: Contest) -> list[str]:
        """Names of layers of whose weights few are left."""
        assert contest.left is not None
        blocks = self.sweep.edges.blocks
        numbers = dict(zip(contest.names, contest.pieces.by_layer(contest.left), strict=True))
        return [
            name
            for name in self.sweep.listable.intersection(numbers)
            if numbers[name] < (_FEW if blocks[name].listing is None else _FEWER) * blocks[name].size
        ]

    def _first_of(self, contest: Contest, keep: int) -> dict[str, Tensor]:
        """All that carries flow, and of the rest of what is left the first, up to the budget.

        The rest is no more than that from now on, also where other contests cut off more.
        """
        edges = self.sweep.edges
        carry = {n: edges.blocks[n].filled(edges.blocks[n].view(edges.shares) > 0) for n in contest.names}
        missing = keep - sum(map(count_true, carry.values()))
        for name, left in self._left(contest).items():
            more = (left & ~carry[name]).flatten().nonzero().flatten()[:missing]
            carry[name].view(-1)[more] = True
            missing -= len(more)
        return carry
