"""Prune by flow again and again, over a course that is laid out once."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from nodepath.masks import count_true
from nodepath.methods.control_share import control_share
from nodepath.methods.flow.lasting import Lasting
from nodepath.methods.flow.thinning import Contest, Thinning
from nodepath.methods.iterate import iterate, on_schedule, without_pruned
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.selection import keep_best, keep_best_by_layer
from nodepath.paths.conversion import scratch
from nodepath.paths.replay.course import course
from nodepath.paths.replay.recording import record
from nodepath.paths.replay.steps import Course
from nodepath.paths.semantics import FLOW
from nodepath.scores.path_flow import PathFlow
from nodepath.scores.random import Random

__all__ = ["by_flow", "walked"]

_SMALL = 1 << 20
"""So many weights lie in the caches in float64 as well, and to convert them takes longer than they do."""


def by_flow(problem: Problem, iterations: int, at_random: Collection[int] = (), *, revive: bool = True) -> Choice:
    """Prune to density `rho**((e + 1) / iterations)` after iteration e, by shares of all paths.

    Args:
        problem: The task.
        iterations: How many steps.
        at_random: Steps, from 0, that score at random instead.
        revive: Those choose among all weights, so that all before the last of them is forgotten and never done; else
            among the kept.

    Cost: as many forward and backward passes of one sample as iterations, between places that differ and channels that
    carry flow alone; where a mask decides what a control lets pass, of the model as it is, in float64.
    """
    recording = record(problem.network, FLOW)
    if recording is None:
        return walked(problem, iterations, at_random, revive=revive)
    with torch.inference_mode(mode=False), torch.no_grad(), scratch():
        return _replayed(problem, course(recording, problem.network.layers), iterations, at_random, revive=revive)


def walked(problem: Problem, iterations: int, at_random: Collection[int] = (), *, revive: bool = True) -> Choice:
    """The same by walks through the model, in float64."""
    flow, random, at_random = PathFlow(), Random(), _draws(at_random, revive=revive)

    def rescore(step: int, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        scores = (random if step in at_random else flow)(problem.subject, weights)
        return scores if step in at_random and revive else without_pruned(scores, masks)

    return iterate(problem, rescore, iterations)


def _replayed(
    problem: Problem, flowing: Course, iterations: int, at_random: Collection[int], *, revive: bool
) -> Choice:
    apart, counts = control_share(problem), problem.layer_counts()
    budgets = (
        {problem.included: problem.keep} if counts is None else {(name,): counts[name] for name in problem.included}
    )
    budgets = {names: keep - sum(map(apart.number_kept, names)) for names, keep in budgets.items()}
    masks = {name: torch.ones_like(problem.weights[name], dtype=torch.bool) for name in problem.included}
    carrying = {name: ~cells for name, cells in apart.cells.items()}
    masks |= carrying
    sizes = [sum(count_true(masks[name]) for name in names) for names in budgets]
    at_random = _draws(at_random, revive=revive)
    first = at_random[0] if revive and at_random else 0
    thinning: Thinning | None = None
    for step in range(first, iterations):
        targets = {
            place: on_schedule(keep, size, step + 1, iterations)
            for place, (keep, size) in enumerate(zip(budgets.values(), sizes, strict=True))
        }
        if step in at_random:
            masks = thinning.masks() if thinning is not None else masks
            thinning = None
            scores = without_pruned(Random()(problem.subject, problem.weights), carrying if revive else masks)
            wish = {name: scores[name] for name in masks}
            if counts is None:
                masks = keep_best(wish, targets[0])
            else:
                masks = keep_best_by_layer(wish, dict(zip(masks, targets.values(), strict=True)))
            continue
        if thinning is None:
            contests = tuple(
                Contest(names, keep, sum(count_true(masks[name]) for name in names)) for names, keep in budgets.items()
            )
            single = all(weight.dtype != torch.float64 for weight in problem.weights.values())
            dtype = torch.float32 if single and sum(sizes) > _SMALL else torch.float64
            thinning = Thinning(problem, flowing, masks, contests, iterations, dtype, Lasting(apart.cells))
        thinning.step(step + 1, {p: keep for p, keep in targets.items() if not thinning.contests[p].whole})
    masks = masks if thinning is None else thinning.masks()
    masks |= {name: masks[name] | kept for name, kept in apart.kept.items()}
    return Choice(masks, None if thinning is None else thinning.finish(iterations))


def _draws(at_random: Collection[int], *, revive: bool) -> list[int]:
    """Those of the steps that leave a trace."""
    return sorted(at_random)[-1 if revive else 0 :]
