"""The step size of each step."""

import math

from nodepath.train.recipe import Recipe

__all__ = ["learning_rate"]


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    r"""The step size of one step of SGD.

    With $T$ the steps of the whole training, $W$ those of the warm-up and $t$ the step:
    $\eta (t + 1) / W$ while $t < W$; then, by schedule,
    "constant": $\eta$; "step": $\eta \gamma^{k}$ with $k$ the number of milestones $m$ with
    $t \ge \mathrm{round}(m T)$; "cosine": $\eta (1 + \cos(\pi (t - W) / (T - W))) / 2$.

    Args:
        recipe: Its lr is $\eta$.
        step: Steps done before this one, since the beginning of the training, 0 .. T - 1.
        steps_per_epoch: Batches in one epoch.
    """
    total = recipe.epochs * steps_per_epoch
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    if recipe.schedule == "constant":
        return recipe.lr
    if recipe.schedule == "step":
        passed = sum(step >= round(milestone * total) for milestone in recipe.milestones)
        return recipe.lr * recipe.gamma**passed
    return recipe.lr * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
