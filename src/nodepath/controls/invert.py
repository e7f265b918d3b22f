"""Score inversion: keep what a method would prune."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from nodepath.budgets import BUDGETS
from nodepath.errors import ArgumentError
from nodepath.masks import JSON
from nodepath.methods.arguments import method_from
from nodepath.methods.budgeted import RandomCells
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import Method, name_of

__all__ = ["Inverted", "invert"]


def invert(method: str | Method, **options: Any) -> "Inverted":
    """A method that keeps the weights that another ranks lowest, exactly as many as asked.

    If a method's ranking means something, its inversion trains worse than a random mask. Pass it on like any method:
    `nodepath.prune(model, x, controls.invert("snip"), sparsity=0.9, batch=batch)`.

    Args:
        method: A name, or a method object.
        options: Of the method, if it is given by name.

    Returns:
        A method object. The masks' `metadata` name the method that it inverts and its options;
        `metadata["control"]` says that it was inverted.

    Raises:
        ArgumentError: The method draws random cells, so there are no scores to invert, or an option that it has not.
        UnknownNameError: No such method.

    Reference:
        Frankle, Dziugaite, Roy, Carbin. Pruning neural networks at initialization: why are we missing the mark?
        ICLR 2021. arXiv:2009.08576.
    """
    original, label = method_from(method, None, options)
    if isinstance(original, Inverted):
        raise ArgumentError("this method is inverted already; pass the method itself to prune by it")
    if isinstance(original, RandomCells):
        raise _no_scores(label)
    return Inverted(original)


@dataclass(frozen=True)
class Inverted:
    """Keep k weights: those that a method prunes when it is to prune k.

    Of scores that are measured once, these are the best of the negated scores, among equal ones the later. An iterative
    method scores what is left of the network again and again; its inversion keeps what it prunes first. Each layer
    keeps as many as the method would keep of it, where the method has a budget for layers.

    Variants: the paper inverts the scores in each iteration of SynFlow, so that it scores what inverted masks leave.

    Args:
        original: The method.
    """

    original: Method

    @property
    def needs_batch(self) -> bool:
        """Whether the method needs data."""
        return bool(getattr(self.original, "needs_batch", False))

    @property
    def bn(self) -> str:
        """The method's own BatchNorm mode."""
        return str(getattr(self.original, "bn", "eval-identity"))

    @property
    def control(self) -> dict[str, JSON]:
        """What `metadata["control"]` says."""
        return {"invert": True}

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`.

        Raises:
            ArgumentError: The method gives no scores.
        """
        budget = getattr(self.original, "budget", None)
        # a method may have a budget of its own kind, which is no scope
        counts = problem.layer_counts(budget if isinstance(budget, str) and budget in BUDGETS else None)
        if problem.keep == problem.size:
            return Choice({name: torch.ones_like(problem.weights[name], dtype=torch.bool) for name in problem.included})
        if counts is not None:
            counts = {layer.name: layer.size - counts[layer.name] for layer in problem.layers}
        choice = self.original(replace(problem, keep=problem.size - problem.keep, counts=counts))
        if choice.scores is None:
            raise _no_scores(name_of(self.original))
        masks = {name: ~mask for name, mask in choice.masks.items()}
        return Choice(masks, {name: -choice.scores[name] for name in problem.included})


def _no_scores(label: str) -> ArgumentError:
    return ArgumentError(
        f"method '{label}' ranks no weights, so that nothing can be inverted; invert one with scores, such as 'snip', "
        "or compare with nodepath.controls.shuffle"
    )
