"""NPB: node-path balancing, layer by layer from the input, solved exactly."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from nodepath.budgets import BUDGETS
from nodepath.errors import ArgumentError
from nodepath.methods.optimum.budget import none_empty
from nodepath.methods.optimum.cells import DRAWS
from nodepath.methods.optimum.presets import PRESETS, Preset
from nodepath.methods.optimum.walk import Walk
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.methods.respend import respend
from nodepath.methods.scored import scores_of
from nodepath.methods.selection import check_finite
from nodepath.options import is_number
from nodepath.paths.semantics import EXACT
from nodepath.reference import Reference
from nodepath.registry import nearest
from nodepath.scores import SCORES, Score

__all__ = ["NodePathBalancing"]

_OF_PRESETS = ("alpha", "beta", "max_per_kernel", "cells", "slack")


@METHODS.register("npb")
@dataclass(frozen=True, kw_only=True)
class NodePathBalancing:
    r"""Node-path balancing: in each layer the exact optimum of nodes against paths.

    Layer by layer, where the data really flows, keep the weights that maximise
    $\alpha A + (1 - \alpha) B + \beta R$ (see `LayerProblem`) within an ERK budget. The paper's integer program is a
    min-cost flow; the greedy solves it exactly. Weights that lie on no path in the end are spent again where they do.

    An optimum leaves open which outputs the weights go to, and nearly equal inputs count as equal. That is used for the
    network's sake: of a layer that keeps n weights some outputs share most of them evenly, $n^{1-\alpha}$ each, and
    each other one gets a single one. So about $n^\alpha$ nodes carry the paths, and nodes and paths weigh alike in
    orders of magnitude at alpha 1/2. Layers of as many outputs take the same ones, since residual adds join these.

    Args:
        alpha: Weight of nodes against paths, 0 .. 1. Like the other options but `budget`, None: the preset's.
        beta: Weight of open kernels, >= 0; convolutions only.
        max_per_kernel: The most weights in a kernel. A soft cap: a layer whose budget needs more gets the least that
            holds it. None: the preset's, which by default is none.
        budget: How many weights each layer keeps. Each gets at least one, if there are enough for paths through all.
        cells: Which weights of a kernel. "paths": drawn by a power of the pixel-level paths that they would carry, so
            that kernels spread out on large maps and stay near the centre on small ones, where others lead nowhere;
            "random": drawn among those that carry any; or the best of those by a score: its name ("magnitude"), or
            a score object. A score may need data.
        slack: So large a share of a layer's most paths may be given up to spread weights over more inputs, 0 .. 1:
            inputs are never quite equal, and an optimum to the last digit fills the richest, which makes hubs. With 0
            each layer is optimal, with s within $(1 - \alpha) s$ of it.
        preset: Settings by name. "balanced"; "nodes" and "paths", which favour these; "published" and
            "published-resnet18", those of the paper. An option that is given overrides the preset's.

    Cost: one forward pass in float64, a sort of each layer's inputs, writing the masks, and two boolean passes. Needs
    data: no, but for a score that does.

    Variants: the published settings are alpha .01, beta 1 (2 for ResNet-18), at most 9 (6) weights a kernel, 2 fewer
    after each projection shortcut down to 5, where the objective is nearly flat. The paper's formula weighs the node
    term by the paths, its code does not; nor does this.

    Reference:
        Pham, Ta, Liu, Xiang, Le, Wen, Tran-Thanh. Towards data-agnostic pruning at initialization: what makes a good
        sparse mask? NeurIPS 2023.
    """

    reference: ClassVar[Reference] = Reference(
        authors=(
            *("Hoang Pham", "The-Anh Ta", "Shiwei Liu", "Lichuan Xiang"),
            *("Dung D. Le", "Hongkai Wen", "Long Tran-Thanh"),
        ),
        title="Towards Data-Agnostic Pruning At Initialization: What Makes a Good Sparse Mask?",
        venue="Advances in Neural Information Processing Systems",
        year=2023,
    )

    alpha: float | None = None
    beta: float | None = None
    max_per_kernel: int | None = None
    budget: str = "erk"
    cells: str | Score | None = None
    slack: float | None = None
    preset: str = "balanced"

    def __post_init__(self) -> None:
        if not isinstance(self.preset, str) or self.preset not in PRESETS:
            raise ArgumentError(f"unknown preset '{self.preset}'; {nearest(str(self.preset), PRESETS)}")
        for name in _OF_PRESETS:  # so that masks record what held
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(PRESETS[self.preset], name))
        for name, role in (("alpha", "weighs nodes by it and paths by 1 - alpha"), ("slack", "may give up that share")):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value <= 1:
                raise ArgumentError(f"{name} is {value!r}; npb {role}, so pass a number from 0 to 1")
        if not is_number(self.beta) or not 0 <= self.beta < math.inf:  # type: ignore[operator]
            raise ArgumentError(f"beta is {self.beta!r}; npb's weight of open kernels must be finite and at least 0")
        cap = self.max_per_kernel
        if cap is not None and (not isinstance(cap, int) or isinstance(cap, bool) or cap < 1):
            raise ArgumentError(f"max_per_kernel is {cap!r}; use a whole number >= 1, or None for the preset's")
        _ = self._score

    @property
    def needs_batch(self) -> bool:
        """Whether the score that `cells` names needs data."""
        return self._score is not None and self._score.needs_batch

    @property
    def bn(self) -> str:
        """The BatchNorm mode of that score."""
        mode: str = getattr(self._score, "bn", "eval-identity")
        return mode

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        if not isinstance(self.budget, str):
            raise ArgumentError(f"budget is {self.budget!r}; pass the name of one: {', '.join(BUDGETS)}")
        counts = problem.layer_counts(self.budget)
        if counts is None:
            raise ArgumentError("npb solves layer by layer; instead of scope='global' choose a budget, e.g. 'erk'")
        if problem.counts is None:
            counts = none_empty(counts)
        walk = Walk(self.settings, problem, counts, self._scores(problem))
        with torch.no_grad():
            problem.network.send(EXACT, walk)
        return Choice(
            respend(
                problem.network,
                walk.masks,
                problem.generator,
                nodes_first=self.settings.alpha >= 0.5,
                by_layer=problem.counts is not None,
            )
        )

    @property
    def settings(self) -> Preset:
        """What holds: the preset's with the options that were given."""
        own = {name: getattr(self, name) for name in _OF_PRESETS}
        return replace(PRESETS[self.preset], **own)

    @property
    def _score(self) -> Score | None:
        """What ranks the cells of a kernel; None: they are drawn."""
        if isinstance(self.cells, str):
            if self.cells in DRAWS:
                return None
            if self.cells not in SCORES:
                raise ArgumentError(f"cells is '{self.cells}'; {nearest(self.cells, {*DRAWS, *SCORES})}")
            return SCORES[self.cells]()
        if isinstance(self.cells, type) or not callable(self.cells) or not hasattr(self.cells, "needs_batch"):
            raise ArgumentError(f"cells is {self.cells!r}; pass {', '.join(map(repr, DRAWS))}, or a score")
        return self.cells

    def _scores(self, problem: Problem) -> Mapping[str, Tensor] | None:
        if self._score is None:
            return None
        scores = scores_of(self._score, problem)
        check_finite(scores, "scores")
        return scores
