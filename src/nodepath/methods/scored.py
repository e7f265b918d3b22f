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

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        scores = self.score(problem.subject, problem.weights)
        check_finite(scores, "scores")
        scores = {name: scores[name] for name in problem.included}
        counts = problem.layer_counts()
        masks = keep_best(scores, problem.keep) if counts is None else keep_best_by_layer(scores, counts)
        return Choice(masks, scores)
