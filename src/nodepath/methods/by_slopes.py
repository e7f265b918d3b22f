"""Prune a little, look at the slopes of what is left, prune more: the frame of iterative SNIP and FORCE."""

from collections.abc import Callable

import torch
from torch import Tensor

from nodepath.methods.problem import Choice, Problem
from nodepath.methods.selection import check_finite, keep_best, keep_best_by_layer

__all__ = ["Schedule", "by_slopes"]

Schedule = Callable[[int, int, int], int]
"""(number to keep in the end, number of weights, step from 1) -> number to keep after the step."""


def by_slopes(problem: Problem, schedule: Schedule, steps: int, *, revive: bool) -> Choice:
    r"""Keep the weights of largest $|\theta_j \, \partial L / \partial \theta_j|$, step by step.

    In each step slopes are taken where pruned weights are zero. Where layers have counts of their own, each follows
    the schedule towards its own.

    Args:
        problem: The task.
        schedule: How many weights are left after a step.
        steps: How many.
        revive: All weights are ranked anew in each step, by their values before pruning and their slopes where they
            are zero; else what is pruned stays pruned.

    Cost: as many forward and backward passes as steps.

    Raises:
        NonFiniteError: A score is NaN or infinite.
    """
    counts = problem.layer_counts()
    dense = {name: problem.weights[name] for name in problem.included}
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in dense.items()}
    ranking = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in dense.items()}
    for step in range(1, steps + 1):
        pruned = {name: w * masks[name] if name in masks else w for name, w in problem.weights.items()}
        slopes = problem.subject.slopes(pruned)
        scores = {name: (weight * slopes[name]).abs() for name, weight in dense.items()}
        del pruned, slopes
        check_finite(scores, "scores")
        if revive:
            ranking = dict(scores)
        else:
            _outrank(ranking, scores, masks, step)
            scores = {name: score.masked_fill(~masks[name], -torch.inf) for name, score in scores.items()}
        if counts is None:
            masks = keep_best(scores, schedule(problem.keep, problem.size, step))
        else:
            now = {name: schedule(counts[name], mask.numel(), step) for name, mask in masks.items()}
            masks = keep_best_by_layer(scores, now)
    return Choice(masks, ranking)


def _outrank(ranking: dict[str, Tensor], scores: dict[str, Tensor], masks: dict[str, Tensor], step: int) -> None:
    """Who lasts longer ranks higher, whatever later scores say; among those who last as long, the larger score."""
    largest = max(float(score.max()) for score in scores.values()) or 1.0
    for name, score in scores.items():
        ranking[name] = torch.where(masks[name], step + score.double() / (2 * largest), ranking[name])
