"""Magnitude: how large a weight is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from nodepath.reference import Reference
from nodepath.scores.registry import SCORES
from nodepath.scores.subject import Subject

__all__ = ["Magnitude"]


@SCORES.register("magnitude")
@dataclass(frozen=True, kw_only=True)
class Magnitude:
    r"""Absolute value of the weight at initialization.

    $$ s_j = |\theta_j| $$

    Ranked over all layers at once it mostly ranks their initial standard deviations, and empties the wide layers
    first; `scope="layerwise"` gives every layer the same density.

    Cost: none. Needs data: no.

    Reference:
        Han, Pool, Tran, Dally. Learning both weights and connections for efficient neural networks. NeurIPS 2015.
        arXiv:1506.02626.
    """

    needs_batch: ClassVar[bool] = False
    reference: ClassVar[Reference] = Reference(
        authors=("Song Han", "Jeff Pool", "John Tran", "William J. Dally"),
        title="Learning both Weights and Connections for Efficient Neural Networks",
        venue="Advances in Neural Information Processing Systems",
        year=2015,
        arxiv="1506.02626",
    )

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `Score`."""
        del subject
        return {name: weight.abs() for name, weight in weights.items()}
