"""Flow through what is left of a network, prune what carries the least, forget what carries none."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodepath.errors import NonFiniteError
from nodepath.masks import count_true
from nodepath.methods.flow.lasting import Lasting
from nodepath.methods.flow.one_each import OneEach
from nodepath.methods.flow.parallel import Parallel
from nodepath.methods.flow.threshold import Lowest, Pieces
from nodepath.methods.flow.weights import Weights
from nodepath.methods.problem import Problem
from nodepath.paths.replay.steps import Course

__all__ = ["Contest", "Thinning"]

_UNSURE = 4
"""So many units in the last place a share may be wrong, times the root of the number of places that it is summed over;
roundings would have to conspire for more."""


@dataclass
class Contest:
    """Layers whose weights compete for one budget.

    Attributes:
        names: Of their parameters.
        keeps: How many weights they keep in the end.
        alive: How many there are.
        pruned: Whether any have been.
        silent: Which are left, if more were to be kept than carry any flow, so that positions have decided; else empty.
        part: Of the memory.
        pieces: Of that part.
        left: How many weights there are in each piece, if the memory is the one of the step before.
    """

    names: tuple[str, ...]
    keeps: int
    alive: int
    pruned: bool = False
    silent: dict[str, Tensor] = field(default_factory=dict)
    part: slice = field(init=False)
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
        steps: How many are to come, the number of the last one.
        dtype: Of shares at first.
    """

    problem: Problem
    course: Course
    start: Mapping[str, Tensor]
    contests: tuple[Contest, ...]
    steps: int
    dtype: torch.dtype = torch.float32
    lasting: Lasting = field(default_factory=Lasting)

    def __post_init__(self) -> None:
        self._build(self.start)

    def _build(self, masks: Mapping[str, Tensor]) -> None:
        self.weights: Weights
        if Parallel.pays(self.problem, self.course):
            self.weights = Parallel(self.problem, self.course, masks)
        else:
            self.weights = OneEach(self.problem, self.course, masks, self.dtype)
        self.dtype = self.weights.held.dtype
        self._cut_in_pieces()
        self.weights.sweep.calibrate()

    def _cut_in_pieces(self) -> None:
        """Anew, for each contest."""
        for contest in self.contests:
            parts = {name: self.weights.part(name) for name in contest.names}
            contest.pieces = Pieces.of({name: part.stop - part.start for name, part in parts.items()})
            contest.part = slice(parts[contest.names[0]].start, parts[contest.names[-1]].stop)
            contest.left = None

    def step(self, number: int, targets: Mapping[int, int]) -> None:
        """Prune once.

        Args:
            number: Of the step, from 1.
            targets: Of each contest that prunes, by its place: how many weights it keeps.
        """
        for place, lowest in self._lowest(targets).items():
            contest = self.contests[place]
            if lowest.threshold == 0:
                contest.silent = self._first_of(contest, targets[place])
                continue
            contest.silent = {}
            for name, left in lowest.pieces.by_layer(lowest.left).items():
                if not left:
                    self._note(name, number)
            lowest.drop(self.weights.held[contest.part], self.weights.shares[contest.part], contest.left)
            contest.left, contest.alive, contest.pruned = lowest.left, targets[place], True
        if not any(contest.silent for contest in self.contests):
            self._forget(self.steps - number)

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
        return self._where(contest.names, self.weights.held)

    def _where(self, names: Iterable[str], numbers: Tensor) -> dict[str, Tensor]:
        """Parameter name -> which of its weights have a positive number, one of each weight held."""
        return {name: self.weights.placed(name).filled(numbers[self.weights.part(name)] > 0) for name in names}

    def _note(self, name: str, number: int) -> None:
        """Take down the scores of a layer of which nothing will be left, if it has not been done."""
        if name not in self.lasting:
            part = self.weights.part(name)
            shares, held = (each[part].clone() for each in (self.weights.shares, self.weights.held))
            # where nothing flows any more, all that is left has lasted as long
            self.lasting.note(name, number, self.weights.placed(name), shares, shares if bool(shares.any()) else held)

    def finish(self, number: int) -> Lasting:
        """Take down the scores of all layers that are left.

        Args:
            number: Of the last step.
        """
        for name in self.start:
            if name not in self.lasting:
                part = self.weights.part(name)
                shares, held = self.weights.shares[part], self.weights.held[part]
                self.lasting.note(name, number, self.weights.placed(name), shares, held)
        return self.lasting

    def _lowest(self, targets: Mapping[int, int]) -> dict[int, Lowest]:
        """What each contest drops."""
        calibrated = False
        while True:
            weights = self.weights
            weights.run()
            found = {place: self._of(self.contests[place], keep) for place, keep in targets.items()}
            largest = weights.sweep.largest()
            if self._is_exact(found, largest):
                return found
            if not calibrated and all(lowest.threshold for lowest in found.values()):
                calibrated = weights.sweep.calibrate()
                if calibrated:
                    continue
            if self.dtype != torch.float64:
                self.dtype = torch.float64
                self._build(self._where(self.start, weights.held))
                calibrated = True
                continue
            if not math.isfinite(largest):
                raise NonFiniteError(
                    "the counts of the channels of one layer differ by more than a factor of 2**1000, which one "
                    "exponent a tensor cannot hold; check the weights"
                )
            return found

    def _of(self, contest: Contest, keep: int) -> Lowest:
        """What one contest drops."""
        weights = self.weights
        shares = weights.shares[contest.part].cpu().numpy()
        unsure = _UNSURE * weights.sweep.most_places**0.5 * float(np.finfo(shares.dtype).eps)
        return Lowest.of(shares, contest.pieces, keep, unsure, partial(weights.in_order, contest.names))

    def _is_exact(self, found: Mapping[int, Lowest], largest: float) -> bool:
        """Whether what underflows is too little to matter.

        A product of a count and a slope that underflows is less than the least normal number times the larger of the
        two; there are less than 2**24 of them in a share, so what is lost is less than 2**-30 of the threshold.
        """
        lost = largest * torch.finfo(self.dtype).tiny * 2.0**54
        return math.isfinite(largest) and all(lowest.threshold > lost for lowest in found.values())

    def _forget(self, steps: int) -> None:
        """What carries no flow, if that is worth it for so many steps."""

        def left() -> dict[str, int]:
            layers: dict[str, int] = {}
            for contest in self.contests:
                if contest.pruned and contest.left is not None:
                    layers |= contest.pieces.by_layer(contest.left)
            return layers

        if self.weights.forget(sum(contest.alive for contest in self.contests), left, steps):
            self._cut_in_pieces()

    def _first_of(self, contest: Contest, keep: int) -> dict[str, Tensor]:
        """All that carries flow, and of the rest of what is left the first, up to the budget.

        The rest is no more than that from now on, also where other contests cut off more.
        """
        carry = self._where(contest.names, self.weights.shares)
        missing = keep - sum(map(count_true, carry.values()))
        for name, left in self._left(contest).items():
            more = (left & ~carry[name]).flatten().nonzero().flatten()[:missing]
            carry[name].view(-1)[more] = True
            missing -= len(more)
        return carry
