"""Hutchinson: what the loss's curvature alone says that a weight is worth."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from nodepath.options import check_choice, check_positive, check_whole
from nodepath.reference import Reference
from nodepath.scores.precision import at_least_single
from nodepath.scores.registry import SCORES
from nodepath.scores.subject import Subject

__all__ = ["Hutchinson"]


@SCORES.register("hutchinson")
@dataclass(frozen=True, kw_only=True)
class Hutchinson:
    r"""Keep the weights whose removal would raise the loss most by its curvature.

    $$ s_j = \tfrac12 \theta_j^2 \, \hat h_j, \qquad
       \hat h = \frac1n \sum_{i=1}^n z_i \odot H z_i, \qquad z_{ij} = \pm 1 $$

    with $H$ the Hessian of the mean loss over the batch in all prunable weights $\theta$, and signs drawn at random:
    the estimate $\hat h$ of its diagonal is unbiased, and exact where $H$ is diagonal. BatchNorm by default
    `eval-identity`.

    Args:
        probes: n.
        mode: "signed"; or "abs", which keeps the largest $|s_j|$.
        temperature: Outputs are divided by it before the loss.

    Cost: `probes` times a forward pass and about three backward passes. Needs data: yes.

    Variants: signed is optimal brain damage, and what the public code of Navarrete et al. ranks by. Unlike at a
    minimum, where $h \ge 0$, some entries are negative at initialization: weights that the curvature would have removed
    first, though they may matter; "abs" keeps those. That code also divides the outputs by 200.

    Reference:
        Navarrete, Cuadrado Ávila, Takáč, Horváth. What scalable second-order information knows for pruning at
        initialization. CPAL 2026. arXiv:2502.11450. The criterion: LeCun, Denker, Solla. Optimal brain damage. NIPS
        1989.
    """

    needs_batch: ClassVar[bool] = True
    reference: ClassVar[Reference] = Reference(
        authors=("Ivo Gollini Navarrete", "Cuadrado Ávila, Nicolás Mauricio", "Martin Takáč", "Samuel Horváth"),
        title="What Scalable Second-Order Information Knows for Pruning at Initialization",
        venue="Conference on Parsimony and Learning",
        year=2026,
        arxiv="2502.11450",
    )

    probes: int = 10
    mode: str = "signed"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_whole("hutchinson", "probes", self.probes, "paper: 10")
        check_choice("mode", self.mode, ("signed", "abs"))
        check_positive("hutchinson", "temperature", self.temperature, "200 in the paper's code")

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Score`."""
        cooled = replace(subject, batch=subject.data.at_temperature(self.temperature))
        weights = {name: at_least_single(weight) for name, weight in weights.items()}
        diagonal = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for _ in range(self.probes):
            signs = {name: _signs(weight, subject.generator) for name, weight in weights.items()}
            for name, product in cooled.hessian_product(weights, signs).items():
                diagonal[name] += product * signs[name] / self.probes
        scores = {name: weight**2 * diagonal[name] / 2 for name, weight in weights.items()}
        return scores if self.mode == "signed" else {name: score.abs() for name, score in scores.items()}


def _signs(weight: Tensor, generator: torch.Generator) -> Tensor:
    return (2 * torch.randint(0, 2, weight.shape, generator=generator, dtype=torch.int8) - 1).to(weight)
