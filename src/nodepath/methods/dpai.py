"""DPaI: scores that climb the slopes of paths, nodes and kernels, through the mask that they make."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from nodepath.budgets import BUDGETS
from nodepath.errors import ArgumentError
from nodepath.methods.control_share import ControlShare, control_share
from nodepath.methods.dpai_objective import Objective
from nodepath.methods.dpai_slopes import slopes_of
from nodepath.methods.optimum.budget import none_empty
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.methods.selection import check_finite, top
from nodepath.options import check_choice, check_positive, check_share, check_whole
from nodepath.paths.conversion import scratch
from nodepath.paths.replay.edges import Edges
from nodepath.reference import Reference

__all__ = ["DPaI"]

_UPDATES = ("paper", "code")


@METHODS.register("dpai")
@dataclass(frozen=True, kw_only=True)
class DPaI:
    r"""Differentiable pruning at initialization: climb paths, nodes and kernels through the mask.

    Scores $s \sim N(0, 1)$, one a weight; the mask keeps the largest $|s|$ of each layer. In each step scores follow
    the slopes of `Objective` in the mask as if it were $|s|$ (straight through), by Adam, and the mask is made anew.

    The mask is what the scores give in the end: weights that lie on no path are not spent again. Where the first mask
    has no path, nothing has a slope, and it stays.

    Args:
        alpha: Weight of nodes and kernels against paths, 0 .. 1.
        beta: Weight of kernels against nodes, 0 .. 1.
        lr: Of Adam, whose other settings are usual: .9, .999, 1e-8.
        steps: How many.
        budget: How many weights each layer keeps. Each gets at least one, if there are as many.
        update: "code" or "paper", see `Objective`.
        gamma: How sharply a node counts as one, for "paper": half of it does with the share .55 / gamma of all paths.

    Cost: `steps` times a forward and a backward pass of one sample in float64, between places that differ, and
    selection of the largest; where a mask decides what a control lets pass, of the model as it is. Needs data: no.

    Variants: the public code divides what enters each layer by its maximum and adds the logarithms of these up, which
    is not the number of paths where branches are added, as in residual networks. Here the counts are exact. What
    gamma is there, and the unit of paths, is not known to us: shares and the default are our reading. With scope
    "global" all layers share one budget, the code's ablation. Weights that steer (queries, keys, gates) carry no
    paths: each layer keeps the share of them that its budget would, at random.

    Reference:
        Xiang, Nguyen-Tri, Nguyen, Pham, Than, Tran-Thanh, Wen. DPaI: Differentiable pruning at initialization with
        node-path balance principle. ICLR 2025. Code: github.com/QuanNguyen-Tri/DPaI.
    """

    reference: ClassVar[Reference] = Reference(
        authors=(
            *("Lichuan Xiang", "Quan Nguyen-Tri", "Lan-Cuong Nguyen", "Hoang Pham"),
            *("Khoat Than", "Long Tran-Thanh", "Hongkai Wen"),
        ),
        title="DPaI: Differentiable Pruning at Initialization with Node-Path Balance Principle",
        venue="International Conference on Learning Representations",
        year=2025,
    )

    alpha: float = 0.99
    beta: float = 0.5
    lr: float = 0.005
    steps: int = 3000
    budget: str = "erk"
    update: str = "code"
    gamma: float = 1000.0

    def __post_init__(self) -> None:
        check_share("dpai", "alpha", self.alpha, "it weighs nodes and kernels; the authors: 0.99")
        check_share("dpai", "beta", self.beta, "it weighs kernels; the authors: 0.5")
        check_positive("dpai", "lr", self.lr, "the authors: 0.005")
        check_positive("dpai", "gamma", self.gamma, "default: 1000")
        check_whole("dpai", "steps", self.steps, "the authors: 3000", least=0)
        check_choice("update", self.update, _UPDATES)

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        if not isinstance(self.budget, str) or self.budget not in BUDGETS:
            raise ArgumentError(f"budget is {self.budget!r}; pass the name of one: {', '.join(BUDGETS)}")
        counts = problem.layer_counts(self.budget)
        if counts is not None and problem.counts is None:
            counts = none_empty(counts)
        apart = control_share(problem if counts is None else replace(problem, counts=counts))
        with torch.inference_mode(mode=False), torch.no_grad(), scratch():
            edges, slopes = slopes_of(problem)
            selection = _Selection.of(problem, edges, counts, apart)
            scores = torch.empty(len(edges.held), dtype=torch.float32, device=edges.held.device)
            for layer in problem.layers:
                block = edges.blocks[layer.name]
                drawn = torch.randn(layer.shape, generator=problem.generator, dtype=torch.float32)
                block.view(scores).copy_(block.cut(drawn.to(scores.device)))
            objective = Objective(alpha=self.alpha, beta=self.beta, gamma=self.gamma, update=self.update)
            adam = torch.optim.Adam([scores], lr=self.lr, maximize=True)
            for _ in range(self.steps):
                edges.held.copy_(selection(scores))
                found, reaches = slopes()
                if not reaches:  # every slope is zero from here on
                    break
                found = objective.ascent(edges, found)
                scores.grad = found.to(scores.dtype).mul_(scores.sign())
                adam.step()
            chosen = selection(scores)
            masks = {name: block.filled(block.view(chosen)) for name, block in edges.blocks.items()}
            ranking = {name: block.filled(block.view(scores.abs())) for name, block in edges.blocks.items()}
        check_finite(ranking, "scores", "take a smaller lr or gamma")
        return Choice(masks, ranking)


@dataclass(frozen=True)
class _Selection:
    """The mask that scores make.

    Attributes:
        budgets: Pieces of the memory, and how many weights each keeps.
        apart: Which weights steer, and are not ranked, bool (weights,); None: none.
        kept: Which of these are kept.
    """

    budgets: Sequence[tuple[slice, int]]
    apart: Tensor | None
    kept: Tensor | None

    @classmethod
    def of(cls, problem: Problem, edges: Edges, counts: dict[str, int] | None, share: ControlShare) -> "_Selection":
        if counts is None:
            whole = slice(0, len(edges.held))
            budgets = [(whole, problem.keep - sum(map(share.number_kept, problem.included)))]
        else:
            budgets = [(piece, counts[name] - share.number_kept(name)) for name, piece in edges.segments()]
        if not share.cells:
            return cls(budgets, None, None)
        apart, kept = (torch.zeros_like(edges.held, dtype=torch.bool) for _ in range(2))
        for name in share.cells:
            block = edges.blocks[name]
            block.view(apart).copy_(block.cut(share.cells[name]))
            block.view(kept).copy_(block.cut(share.kept[name]))
        return cls(budgets, apart, kept)

    def __call__(self, scores: Tensor) -> Tensor:
        """Bool (weights,): of each piece those of the largest magnitude, among equal ones the first."""
        sizes = scores.abs()
        if self.apart is not None:
            sizes.masked_fill_(self.apart, -math.inf)
        chosen = torch.cat([_largest(sizes[piece], keep) for piece, keep in self.budgets])
        return chosen if self.kept is None else chosen | self.kept


def _largest(sizes: Tensor, keep: int) -> Tensor:
    """The same as `top`, sooner where nothing ties: it is asked for in every step."""
    if 0 < keep < len(sizes) and sizes.device.type == "cpu":
        numbers = sizes.numpy()
        chosen = numbers >= np.partition(numbers, len(numbers) - keep)[len(numbers) - keep]
        if np.count_nonzero(chosen) == keep:
            return torch.from_numpy(chosen)
    return top(sizes, keep)
