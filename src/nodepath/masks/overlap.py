"""How much of two masks is the same."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nodepath.masks.match import check_same_entries

__all__ = ["Overlap", "overlap"]


@dataclass(frozen=True)
class Overlap:
    r"""Jaccard indices $|A \cap B| / |A \cup B|$ of the kept weights; 1.0 where both keep nothing.

    Attributes:
        total: Over all weights together.
        layers: Parameter name -> over the weights of that parameter.
    """

    total: float
    layers: Mapping[str, float]

    def __str__(self) -> str:
        rows = [("all", self.total), *self.layers.items()]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value:.4f}" for name, value in rows)


def _jaccard(both: int, either: int) -> float:
    return both / either if either else 1.0


def overlap(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> Overlap:
    """Compare two sets of bool masks of the same names and shapes, on any devices.

    Raises:
        MaskMismatchError: Other names or shapes; names the entry.
    """
    check_same_entries(left, right)
    counts: dict[str, tuple[int, int]] = {}
    for name, mask in left.items():
        other = right[name].to(mask.device)
        counts[name] = (int(torch.count_nonzero(mask & other)), int(torch.count_nonzero(mask | other)))
    both, either = (sum(column) for column in zip(*counts.values(), strict=True)) if counts else (0, 0)
    return Overlap(_jaccard(both, either), {name: _jaccard(*pair) for name, pair in counts.items()})
