"""Random: no opinion at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

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

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Score`."""
        # float64: float32 has 2**24 values only, and ties would favour early positions
        return {
            name: torch.rand(weight.shape, generator=subject.generator, dtype=torch.float64).to(weight.device)
            for name, weight in weights.items()
        }
