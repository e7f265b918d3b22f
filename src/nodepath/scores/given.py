"""The user's own numbers as a score."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from nodepath.scores.subject import Subject

__all__ = ["Given"]


@dataclass(frozen=True, eq=False)
class Given:
    """Scores computed elsewhere.

    Args:
        values: Parameter name -> score, of the weight's shape.
    """

    needs_batch: ClassVar[bool] = False

    values: Mapping[str, Tensor]

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Score`; layers without numbers, which are excluded, get none."""
        del subject
        found = {name: self.values[name].detach().to(w.device) for name, w in weights.items() if name in self.values}
        return {name: score.to(torch.promote_types(score.dtype, torch.float32)) for name, score in found.items()}
