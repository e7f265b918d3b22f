"""LAMP: how large a weight is among those of its layer that are not smaller."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nodepath.reference import Reference
from nodepath.scores.registry import SCORES
from nodepath.scores.subject import Subject

__all__ = ["Lamp"]


@SCORES.register("lamp")
@dataclass(frozen=True, kw_only=True)
class Lamp:
    r"""Squared weight, relative to all weights of its layer that are not smaller.

    $$ s_u = \frac{\theta_u^2}{\sum_{v \geq u} \theta_v^2} $$

    over the weights v of the layer of u that are not smaller than it; among equal ones the earlier counts as the
    larger. So the largest weight of each layer scores 1, scores of all layers compare, and one ranking over all layers
    gives each layer a budget of its own. In a layer of zeros all scores are 0.

    Cost: one sort a layer. Needs data: no.

    Variants: the paper prunes trained weights; at initialization the score sees the distribution each layer was drawn
    from, and its size.

    Reference:
        Lee, Park, Mo, Ahn, Shin. Layer-adaptive sparsity for the magnitude-based pruning. ICLR 2021.
        arXiv:2010.07611.
    """

    needs_batch: ClassVar[bool] = False
    reference: ClassVar[Reference] = Reference(
        authors=("Jaeho Lee", "Sejun Park", "Sangwoo Mo", "Sungsoo Ahn", "Jinwoo Shin"),
        title="Layer-adaptive Sparsity for the Magnitude-based Pruning",
        venue="International Conference on Learning Representations",
        year=2021,
        arxiv="2010.07611",
    )

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Score`; float64."""
        del subject
        return {name: _relative(weight) for name, weight in weights.items()}


def _relative(weight: Tensor) -> Tensor:
    # among equal ones the earlier counts as the larger, so that it outranks them as in every ranking
    ordered, order = weight.abs().flatten().sort(stable=True, descending=True)
    ordered = ordered.double()
    exponent = math.frexp(float(ordered[0]))[1]
    # squares of the very small and the very large are out of range; a power of two changes no digit
    squares = (ordered * math.ldexp(1.0, -max(exponent, -1022))).square()
    totals = squares.cumsum(0)
    scores = torch.empty_like(squares)
    scores[order] = torch.where(totals == 0, 0.0, squares / totals)
    return scores.reshape(weight.shape)
