"""GraSP: how much the norm of the gradient would fall if a weight's gate closed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from nodepath.options import check_choice, check_positive
from nodepath.reference import Reference
from nodepath.scores.registry import SCORES
from nodepath.scores.subject import Subject

__all__ = ["Grasp"]


@SCORES.register("grasp")
@dataclass(frozen=True, kw_only=True)
class Grasp:
    r"""Keep the weights without which the gradient of the loss would shrink most.

    $$ s_j = \theta_j \, (H g)_j $$

    with $g$ and $H$ gradient and Hessian, in all prunable weights $\theta$, of the mean loss over the batch, and
    outputs divided by T before the loss. It is the slope of $\frac12 \lVert g \rVert^2$ in a gate that multiplies
    $\theta_j$: the paper calls $-s$ the score and removes the largest, which is to keep the largest $s$. The gradient
    is complete, over all parts of the batch, before the second pass takes the same samples. BatchNorm by default
    `eval-identity`.

    Args:
        temperature: T.
        mode: "grasp"; or "abs", which keeps the largest $|s_j|$: Frankle et al. report that it works better.

    Cost: two forward passes and about four backward passes. Needs data: yes.

    Variants: the authors' code takes the batch in two halves, with BatchNorm as the model is found (training mode), and
    draws the weights of Linear layers anew; this scores the given weights, and `bn="train-batch"` takes the batch as
    one.

    Reference:
        Wang, Zhang, Grosse. Picking winning tickets before training by preserving gradient flow. ICLR 2020.
        arXiv:2002.07376. Mode "abs": Frankle, Dziugaite, Roy, Carbin. Pruning neural networks at initialization: why
        are we missing the mark? ICLR 2021. arXiv:2009.08576.
    """

    needs_batch: ClassVar[bool] = True
    reference: ClassVar[Reference] = Reference(
        authors=("Chaoqi Wang", "Guodong Zhang", "Roger Grosse"),
        title="Picking Winning Tickets Before Training by Preserving Gradient Flow",
        venue="International Conference on Learning Representations",
        year=2020,
        arxiv="2002.07376",
    )

    temperature: float = 200.0
    mode: str = "grasp"

    def __post_init__(self) -> None:
        check_positive("grasp", "temperature", self.temperature, "paper: 200")
        check_choice("mode", self.mode, ("grasp", "abs"))

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Score`."""
        cooled = replace(subject, batch=subject.data.at_temperature(self.temperature))
        products = cooled.hessian_product(weights, cooled.slopes(weights))
        scores = {name: weight * products[name] for name, weight in weights.items()}
        return scores if self.mode == "grasp" else {name: score.abs() for name, score in scores.items()}
