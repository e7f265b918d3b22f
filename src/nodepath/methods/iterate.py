"""Score, prune a little, score again: the exponential schedule of SynFlow and its kin."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from nodepath.methods.control_share import ControlShare, control_share
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.selection import check_finite, keep_best, keep_best_by_layer

__all__ = ["Rescore", "Schedule", "iterate", "on_schedule", "without_pruned"]

Rescore = Callable[[int, Mapping[str, Tensor], Mapping[str, Tensor]], Mapping[str, Tensor]]
"""(iteration, weights times masks, masks) -> scores."""

Schedule = Callable[[int, int, int, int], int]
"""(number to keep in the end, number of weights, step from 1, number of steps) -> number to keep after the step."""


def on_schedule(keep: int, size: int, step: int, iterations: int) -> int:
    """How many of `size` weights are left after a step, from 1, on the exponential way to `keep`."""
    if step == iterations or keep == 0:
        return keep
    fraction: float = (keep / size) ** (step / iterations)
    return round(size * fraction)


def iterate(
    problem: Problem, rescore: Rescore, iterations: int, *, by_paths: bool = True, schedule: Schedule = on_schedule
) -> Choice:
    """Prune to density `rho**((e + 1) / iterations)` after iteration e.

    The intermediate counts are rounded, the last is exact. Where layers have counts of their own, each follows
    the same schedule towards its own density. Weights that steer and carry no paths are set apart, see `control_share`.

    The answer's scores are those of the last step, of an emptied layer those of the step that emptied it.

    Args:
        problem: The task.
        rescore: Scores every weight anew; what must not come back gets -inf.
        iterations: How many steps.
        by_paths: Scores are of paths, which know nothing of what steers; else all weights are ranked alike.
        schedule: How many weights are left after each step.

    Cost: as many scorings as iterations.

    Raises:
        NonFiniteError: A score is NaN, or infinite where the weight is kept.
    """
    apart = control_share(problem) if by_paths else ControlShare({}, {})
    masks = {name: torch.ones_like(problem.weights[name], dtype=torch.bool) for name in problem.included}
    for name, cells in apart.cells.items():
        masks[name] = ~cells | apart.kept[name]
    counts = problem.layer_counts()
    sizes = {name: mask.numel() - apart.number(name) for name, mask in masks.items()}
    size, keep = sum(sizes.values()), problem.keep - sum(map(apart.number_kept, sizes))
    scores: dict[str, Tensor] = {}
    last: dict[str, Tensor] = {}  # scores of emptied layers, when they still had weights
    for step in range(1, iterations + 1):
        del scores  # each of what is made here is as large as the model, or twice that
        pruned = {name: w * masks[name] if name in masks else w for name, w in problem.weights.items()}
        fresh = rescore(step - 1, pruned, masks)
        scores = {name: fresh[name] for name in problem.included}
        del pruned, fresh
        for name, cells in apart.cells.items():
            scores[name] = scores[name].masked_fill(cells, -torch.inf)
        for name, score in scores.items():
            check_finite({name: score.where(score != -torch.inf, 0.0)}, "scores")
        if counts is None:
            kept = keep_best(scores, schedule(keep, size, step, iterations))
        else:
            left = {name: counts[name] - apart.number_kept(name) for name in sizes}
            now = {name: schedule(left[name], size, step, iterations) for name, size in sizes.items()}
            kept = keep_best_by_layer(scores, now)
        for name, cells in apart.kept.items():
            kept[name] = kept[name] | cells
        for name, mask in kept.items():
            if mask.any():
                last.pop(name, None)
            elif masks[name].any():
                last[name] = scores[name]
        masks = kept
    return Choice(masks, {**scores, **last})


def without_pruned(scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scores of the kept weights; -inf for the others, which so stay pruned."""
    left = dict(scores)
    for name, mask in masks.items():  # in turn: all at once, they would be there twice
        left[name] = left[name].masked_fill(~mask, -torch.inf)
    return left
