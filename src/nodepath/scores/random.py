"""Random: no opinion at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nodepath.reference import Reference
from nodepath.scores.registry import SCORES
from nodepath.scores.subject import Subject

__all__ = ["Random"]


@SCORES.register("random")
@dataclass(frozen=True, kw_only=True)
class Random:
    """A global random mask with an exact count.

    Layer densities are equal in expectation only; for equal ones choose `scope="layerwise"`.

    Cost: none. Needs data: no.
    """

    needs_batch: ClassVar[bool] = False
    reference: ClassVar[Reference] = Reference(
        authors=(
            *("Shiwei Liu", "Tianlong Chen", "Xiaohan Chen", "Li Shen"),
            *("Decebal Constantin Mocanu", "Zhangyang Wang", "Mykola Pechenizkiy"),
        ),
        title="The Unreasonable Effectiveness of Random Pruning: Return of the Most Naive Baseline for Sparse Training",
        venue="International Conference on Learning Representations",
        year=2022,
        arxiv="2202.02643",
    )

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Score`."""
        # float64: float32 has 2**24 values only, and ties would favour early positions
        return {
            name: torch.rand(weight.shape, generator=subject.generator, dtype=torch.float64).to(weight.device)
            for name, weight in weights.items()
        }
