"""SNIP: how much the loss would move if a weight's gate closed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nodepath.reference import Reference
from nodepath.scores.registry import SCORES
from nodepath.scores.subject import Subject

__all__ = ["Snip"]


@SCORES.register("snip")
@dataclass(frozen=True, kw_only=True)
class Snip:
    r"""Connection sensitivity at initialization.

    $$ s_j = \left| \theta_j \, \partial L / \partial \theta_j \right| $$

    with $\theta$ the weights and $L$ the mean loss over the batch: the slope of $L$ in a gate $c_j$ that
    multiplies $\theta_j$, at $c_j = 1$. BatchNorm by default `eval-identity`.

    Cost: one forward and one backward pass. Needs data: yes.

    Variants: the authors' code scores a re-initialised copy and prunes biases too; this scores the given weights.

    Reference:
        Lee, Ajanthan, Torr. SNIP: single-shot network pruning based on connection sensitivity. ICLR 2019.
        arXiv:1810.02340.
    """

    needs_batch: ClassVar[bool] = True
    reference: ClassVar[Reference] = Reference(
        authors=("Namhoon Lee", "Thalaiyasingam Ajanthan", "Philip H. S. Torr"),
        title="SNIP: Single-shot Network Pruning based on Connection Sensitivity",
        venue="International Conference on Learning Representations",
        year=2019,
        arxiv="1810.02340",
    )

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Score`."""
        slopes = subject.slopes(weights)
        return {name: (weight * slopes[name]).abs() for name, weight in weights.items()}
