"""A score becomes a method: keep its best weights."""

from dataclasses import dataclass

from nodepath.methods.problem import Choice, Problem
from nodepath.methods.selection import check_finite, keep_best, keep_best_by_layer
from nodepath.scores import Score

__all__ = ["Scored"]


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
        """See `Method`."""
        every = self.score(problem.subject, problem.weights)
        scores = {name: every[name] for name in problem.included}
        check_finite(scores, "scores")
        counts = problem.layer_counts()
        masks = keep_best(scores, problem.keep) if counts is None else keep_best_by_layer(scores, counts)
        return Choice(masks, scores)
