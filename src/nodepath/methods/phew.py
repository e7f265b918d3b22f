"""PHEW: keep what random walks along large weights pass."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodepath.errors import BudgetWarning
from nodepath.methods.control_share import ControlShare, control_share
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.methods.selection import keep_best, keep_best_by_layer
from nodepath.methods.walks import Steps, Walker
from nodepath.methods.zero_layers import with_zero_layers_drawn
from nodepath.options import check_whole
from nodepath.paths.reach import reach
from nodepath.paths.semantics import FLOW
from nodepath.paths.wiring import wiring
from nodepath.reference import Reference

__all__ = ["PHEW"]

_FIRST_BATCH, _LARGEST_BATCH = 256, 1 << 15
"""Walks at once: few at first, as few may do."""

_TRIES = 10_000
"""So many walks are looked at for those that fit into what is left of the budget."""


@METHODS.register("phew")
@dataclass(frozen=True, kw_only=True)
class PHEW:
    r"""Keep the weights that random walks pass, which prefer large weights and run from input to output or back.

    $$ P(i \to j) = \frac{|\theta_{ij}|}{\sum_k |\theta_{ik}|} \qquad
       P(j \to i) = \frac{|\theta_{ij}|}{\sum_k |\theta_{kj}|} $$

    Walks go in turns from an input unit forwards and from an output unit backwards, units one after the other. A unit
    is a channel; between two of them each cell of the kernel is an edge of its own, so that a step goes to a channel in
    proportion to the sum of the kernel's sizes, and takes a cell of it in proportion to its size. Units are connected
    as the model connects them: where branches meet in a residual add, a walk backwards chooses among the edges into all
    of them, and a walk forwards among the edges of all that read the sum, always in proportion to $|\theta|$; what is
    laid side by side, pooled or flattened is its channel's. Weights at zero, and those that lie on no path when all
    are kept, are never passed; those that steer carry no paths: each layer keeps the share of them that ERK would, at
    random. For a layer whose weights are all zero, normal ones are drawn, with a warning.

    Walks stop exactly at the budget: from the first that would pass more weights than are left, walks that do are left
    out, so that those that fit fill the rest, and each weight kept lies on a walk; if none of 10,000 fits, the first of
    them gives its first weights. Where layers have counts of their own, each takes the first weights that come to it.
    Weights that no walk can pass, needed where nearly all are kept, are the largest. So are, with a warning that tells
    how many, those that were not passed after `walks` walks.

    Args:
        walks: At most so many.

    Cost: a few passes over the channels; then, of each walk, a search among the weights for each layer, some
    microseconds in all. Needs data: no.

    Variants: the authors' code goes at a block with a projection either way with probability 1/2, and never along a
    skip without weights. Here paths are those of channels: in images of a few pixels the cells of a walk can lead out
    of the image, and where a layer mixes tokens instead of channels a walk may change its channel there.

    Reference:
        Patil, Dovrolis. PHEW: constructing sparse networks that learn fast and generalize well without training data.
        ICML 2021. arXiv:2010.11354.
    """

    reference: ClassVar[Reference] = Reference(
        authors=("Shreyas Malakarjun Patil", "Constantine Dovrolis"),
        title="PHEW: Constructing Sparse Networks that Learn Fast and Generalize Well without Training Data",
        venue="International Conference on Machine Learning",
        year=2021,
        arxiv="2010.11354",
    )

    walks: int = 1_000_000

    def __post_init__(self) -> None:
        check_whole("phew", "walks", self.walks, "default: 1000000")

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        problem = with_zero_layers_drawn(problem)
        apart = control_share(problem)
        sizes = _sizes(problem, apart)
        walker = Walker(problem.network, wiring(problem.network), sizes)
        passed = _Passed.of(problem, apart, walker, sizes)
        done = 0
        batch = _FIRST_BATCH
        while not passed.full and done < self.walks:
            number = min(batch, self.walks - done)
            passed.take(_some_walks(walker, done, number, problem.generator), number)
            done, batch = done + number, min(2 * batch, _LARGEST_BATCH)
        if passed.missing:
            warnings.warn(
                f"phew has passed {passed.number} of {passed.number + passed.missing} weights after {done} walks; the "
                "others are the largest of those that a walk could pass; raise walks=",
                BudgetWarning,
                stacklevel=2,
            )
        return _choice(problem, apart, passed.scores(problem))


def _sizes(problem: Problem, apart: ControlShare) -> dict[str, Tensor]:
    """Of all weights along which walks may go; zero for the others."""
    found = {name: weight.abs().to(FLOW.dtype(weight.device)) for name, weight in problem.weights.items()}
    alive = reach(problem.network, {name: size > 0 for name, size in found.items()}, paths=True)
    carries = (alive.paths or alive).weights
    found = {name: size * carries[name] for name, size in found.items()}
    return {
        name: size.masked_fill(apart.cells[name], 0.0) if name in apart.cells else size for name, size in found.items()
    }


def _some_walks(walker: Walker, first: int, number: int, generator: torch.Generator) -> Steps:
    """Walks, those of even numbers forwards and the others backwards.

    Args:
        walker: Walks.
        first: Number of the first walk.
        number: How many.
        generator: Draws.
    """
    numbers = np.arange(first, first + number)
    found = []
    for odd, walk, units in ((0, walker.forwards, walker.sources), (1, walker.backwards, walker.ends)):
        own = np.flatnonzero(numbers % 2 == odd)
        steps = walk(units[numbers[own] // 2 % len(units)], generator)
        found.append(Steps(own[steps.walk], steps.weight))
    walks, weights = (np.concatenate([getattr(steps, each) for steps in found]) for each in ("walk", "weight"))
    order = np.argsort(walks, kind="stable")
    return Steps(walks[order], weights[order])


@dataclass
class _Passed:
    """The weights that walks have passed.

    Attributes:
        places: Parameter name of each included layer -> where its weights are in the numbering of the walks.
        layer: Of each weight, which budget it counts for; -1 if it cannot be pruned.
        left: Of each budget, how many weights it can still take from walks.
        alone: There is one budget, and walks must fit into it.
        possible: Of each weight, whether a walk can pass it.
        kept: Of each weight, whether it has been passed.
        waiting: New weights of the first walk that did not fit.
        tried: How many walks have been looked at since.
    """

    places: dict[str, slice]
    layer: NDArray[np.int64]
    left: NDArray[np.int64]
    alone: bool
    possible: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    waiting: NDArray[np.int64] | None = None
    tried: int = 0

    @classmethod
    def of(cls, problem: Problem, apart: ControlShare, walker: Walker, sizes: Mapping[str, Tensor]) -> "_Passed":
        """Nothing yet."""
        counts = problem.layer_counts()
        total = sum(size.numel() for size in sizes.values())
        places = {n: slice(walker.begins[n], walker.begins[n] + sizes[n].numel()) for n in problem.included}
        layer = np.full(total, -1)
        for number, place in enumerate(places.values()):
            layer[place] = 0 if counts is None else number
        taken = {name: apart.number_kept(name) for name in problem.included}
        if counts is None:
            left = np.array([problem.keep - sum(taken.values())])
        else:
            left = np.array([counts[name] - taken[name] for name in problem.included])
        can = walker.reachable(total) & (layer >= 0)
        kept = np.zeros(total, dtype=bool)
        numbers = np.bincount(layer[can], minlength=len(left))
        for number in np.flatnonzero(left >= numbers).tolist():  # no need to walk
            kept |= can & (layer == number)
            left[number] = 0
        return cls(places, layer, left, counts is None, can, kept)

    @property
    def full(self) -> bool:
        """Nothing is missing."""
        return not self.left.any()

    @property
    def missing(self) -> int:
        """How many weights are missing."""
        return int(self.left.sum())

    @property
    def number(self) -> int:
        """How many have been passed."""
        return int(self.kept.sum())

    def take(self, steps: Steps, number: int) -> None:
        """Keep what walks pass, as long as it fits.

        Args:
            steps: Of the walks.
            number: How many walks there are.
        """
        layer = self.layer[steps.weight]
        new = np.flatnonzero((layer >= 0) & (steps.weight >= 0) & ~self.kept[steps.weight])
        first = new[np.sort(np.unique(steps.weight[new], return_index=True)[1])]
        if not self.alone:
            self._keep_by_layer(steps.weight[first])
        elif self.waiting is None:
            brought = np.cumsum(np.bincount(steps.walk[first], minlength=number))
            fits = int(np.searchsorted(brought, self.left[0], side="right"))  # walks before this one do
            self._keep(steps.weight[first[steps.walk[first] < fits]])
            if self.left[0] and fits < number:
                self._fill(steps, fits, number)
        else:
            self._fill(steps, 0, number)

    def _keep_by_layer(self, weights: NDArray[np.int64]) -> None:
        for number in np.unique(self.layer[weights]).tolist():
            own = weights[self.layer[weights] == number][: self.left[number]]
            self.kept[own] = True
            self.left[number] -= len(own)

    def _keep(self, weights: NDArray[np.int64]) -> None:
        self.kept[weights] = True
        self.left[0] -= len(weights)

    def _fill(self, steps: Steps, first: int, number: int) -> None:
        """Take the walks that fit, from a first one on; when enough have been tried, a part of the first of all."""
        begins = np.searchsorted(steps.walk, np.arange(first, number + 1))
        for begin, end in pairwise(begins.tolist()):
            passed = steps.weight[begin:end]
            passed = passed[(passed >= 0) & (self.layer[passed] >= 0)]
            new = passed[~self.kept[passed]]
            new = new[np.sort(np.unique(new, return_index=True)[1])]  # shared weights come twice
            self.waiting = new if self.waiting is None else self.waiting
            self.tried += 1
            if len(new) <= self.left[0]:
                self._keep(new)
            elif self.tried >= _TRIES:
                self._keep(self.waiting[~self.kept[self.waiting]][: self.left[0]])
            if not self.left[0]:
                return

    def scores(self, problem: Problem) -> dict[str, Tensor]:
        """Parameter name -> 4 for what has been passed, 2 for what could be, and the size of the weight, at most 1."""
        largest = max(float(weight.abs().max()) for weight in problem.weights.values()) or 1.0
        rank = torch.from_numpy(4.0 * self.kept + 2.0 * (self.possible & ~self.kept))
        found = {}
        for name, place in self.places.items():
            weight = problem.weights[name]
            found[name] = rank[place].reshape(weight.shape).to(FLOW.dtype(weight.device)).to(weight.device)
            found[name] += weight.abs().to(found[name]) / largest
        return found


def _choice(problem: Problem, apart: ControlShare, scores: Mapping[str, Tensor]) -> Choice:
    """The best, beside what steers."""
    counts = problem.layer_counts()
    wish = {
        name: score.masked_fill(apart.cells[name], -torch.inf) if name in apart.cells else score
        for name, score in scores.items()
    }
    if counts is None:
        masks = keep_best(wish, problem.keep - sum(map(apart.number_kept, wish)))
    else:
        masks = keep_best_by_layer(wish, {name: counts[name] - apart.number_kept(name) for name in wish})
    return Choice({n: mask | apart.kept[n] if n in apart.kept else mask for n, mask in masks.items()}, scores)
