"""Fisher: how much the loss of single samples would move if a weight's gate closed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nodepath.reference import Reference
from nodepath.scores.per_sample import mean_squared_slopes
from nodepath.scores.precision import at_least_single
from nodepath.scores.registry import SCORES
from nodepath.scores.subject import Subject

__all__ = ["Fisher"]


@SCORES.register("fisher")
@dataclass(frozen=True, kw_only=True)
class Fisher:
    r"""Keep the weights that the losses of single samples depend on most, in the mean square.

    $$ s_j = \frac1N \sum_{n=1}^N \left( \theta_j \, \partial L_n / \partial \theta_j \right)^2 $$

    with $L_n$ the loss of sample n alone: the diagonal of the empirical Fisher matrix times the squared weight.
    Squared before the mean over samples, so that samples that pull a weight in opposite ways do not cancel. BatchNorm
    by default `eval-identity`; "train-batch" is refused, since samples would not be alone.

    Cost: a forward and a backward pass of each sample. Needs data: yes.

    Variants: optimal brain damage halves the same number. Public code often squares the gradient of a whole batch
    instead, which is another score.

    Reference:
        Navarrete, Cuadrado Ávila, Takáč, Horváth. What scalable second-order information knows for pruning at
        initialization. CPAL 2026. arXiv:2502.11450.
    """

    needs_batch: ClassVar[bool] = True
    reference: ClassVar[Reference] = Reference(
        authors=("Ivo Gollini Navarrete", "Cuadrado Ávila, Nicolás Mauricio", "Martin Takáč", "Samuel Horváth"),
        title="What Scalable Second-Order Information Knows for Pruning at Initialization",
        venue="Conference on Parsimony and Learning",
        year=2026,
        arxiv="2502.11450",
    )

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Score`."""
        squares = mean_squared_slopes(subject, weights)
        return {name: at_least_single(weight) ** 2 * squares[name] for name, weight in weights.items()}
