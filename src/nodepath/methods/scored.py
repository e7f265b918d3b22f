"""A score becomes a method: keep its best weights."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from nodepath.errors import MaskMismatchError
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.selection import check_finite, keep_best, keep_best_by_layer
from nodepath.scores import Score

__all__ = ["Scored", "fitting_scores", "scores_of"]


def scores_of(score: Score, problem: Problem) -> dict[str, Tensor]:
    """What a score, also a third party's, gives for each included layer, detached.

    Raises:
        MaskMismatchError: See `fitting_scores`.
    """
    asked = {name: problem.weights[name] for name in problem.included}
    return fitting_scores(f"score {type(score).__name__}", score(problem.subject, problem.weights), asked)


def fitting_scores(source: str, found: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scores of some layers, detached.

    Args:
        source: Who gave them, for messages, e.g. "score Snip".
        found: Parameter name -> score.
        weights: Parameter name -> weight, of the layers.

    Raises:
        MaskMismatchError: A layer is absent, or has no real numbers of the weight's shape; names both.
    """
    if not isinstance(found, Mapping):
        raise MaskMismatchError(f"{source} gave a {type(found).__name__}; it must give parameter name -> tensor")
    for name, weight in weights.items():
        shape = tuple(weight.shape)
        if name not in found:
            raise MaskMismatchError(
                f"{source} gave no scores for '{name}'; it must give them for each layer it is asked"
            )
        if not isinstance(found[name], Tensor) or found[name].is_complex():
            raise MaskMismatchError(
                f"{source} gave no real numbers for '{name}'; it must give a tensor of shape {shape}"
            )
        if tuple(found[name].shape) != shape:
            raise MaskMismatchError(
                f"{source} gave scores of shape {tuple(found[name].shape)} for '{name}'; they must have the weight's, "
                f"{shape}"
            )
    return {name: found[name].detach() for name in weights}


@dataclass(frozen=True)
class Scored:
    """Score once, keep the best.

    Args:
        score: The score.
    """

    score: Score

    @property
    def needs_batch(self) -> bool:
        """Whether the score needs data."""
        return self.score.needs_batch

    @property
    def bn(self) -> str:
        """The score's own BatchNorm mode."""
        mode: str = getattr(self.score, "bn", "eval-identity")
        return mode

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`.

        Raises:
            MaskMismatchError: See `scores_of`.
            NonFiniteError: A score is NaN or infinite.
        """
        scores = scores_of(self.score, problem)
        check_finite(scores, "scores")
        counts = problem.layer_counts()
        masks = keep_best(scores, problem.keep) if counts is None else keep_best_by_layer(scores, counts)
        return Choice(masks, scores)
