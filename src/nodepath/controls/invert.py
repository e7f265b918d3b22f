"""Score inversion: keep what a method would prune."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nodepath.errors import ArgumentError
from nodepath.masks import JSON, count_true
from nodepath.methods.arguments import method_from
from nodepath.methods.budgeted import RandomCells
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import Method, name_of
from nodepath.methods.selection import check_finite, keep_best, keep_best_by_layer
from nodepath.paths.reach import steering

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
    """Keep what a method ranks lowest: the complement of its best, among equal ones the later.

    An iterative method ranks by how long a weight lasts; so what goes first, by the scores of the whole network, is
    what its inversion keeps. Layer counts are those that the method would use. Weights that steer and that the method
    leaves unranked stay as it drew them.

    Variants: the paper inverts the scores of SynFlow in each of its iterations, so that it scores what inverted masks
    leave.

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
            NonFiniteError: A score is NaN or infinite; names the parameter.
        """
        choice = self.original(problem)
        if choice.scores is None:
            raise _no_scores(name_of(self.original))
        scores = {name: choice.scores[name] for name in problem.included}
        check_finite(scores, "scores")
        wish, best = dict(scores), {name: score.numel() for name, score in scores.items()}
        unranked = _unranked(problem, scores)
        for name, mask in choice.masks.items():
            best[name] -= count_true(mask)
            if name in unranked:
                best[name] += count_true(mask & unranked[name])
                wish[name] = wish[name].masked_fill(unranked[name], float("inf"))
        budget = getattr(self.original, "budget", None)
        if problem.layer_counts(budget if isinstance(budget, str) else None) is None:
            masks = keep_best(wish, sum(best.values()))
        else:
            masks = keep_best_by_layer(wish, best)
        masks = {name: ~mask for name, mask in masks.items()}  # so that ties go to the later position
        for name, cells in unranked.items():
            masks[name] = masks[name] | (choice.masks[name] & cells)
        return Choice(masks, {name: -score for name, score in scores.items()})


def _unranked(problem: Problem, scores: dict[str, Tensor]) -> dict[str, Tensor]:
    """Which weights steer, where the method gives all of a layer's the same score: it sets them apart."""
    cells = {name: mask for name, mask in steering(problem.network).items() if name in problem.included}
    return {name: mask for name, mask in cells.items() if scores[name][mask].min() == scores[name][mask].max()}


def _no_scores(label: str) -> ArgumentError:
    return ArgumentError(
        f"method '{label}' ranks no weights, so that nothing can be inverted; invert one with scores, such as 'snip', "
        "or compare with nodepath.controls.shuffle"
    )
