"""Balanced: the same number of weights in every layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nodepath.budgets.allocate import apportion, rescale
from nodepath.budgets.registry import BUDGETS
from nodepath.paths.layer import Layer
from nodepath.reference import Reference

__all__ = ["Balanced"]


@BUDGETS.register("balanced")
@dataclass(frozen=True, kw_only=True)
class Balanced:
    r"""The same number of weights in every layer, or all of a layer that has fewer.

    $$ k_l = \min(n_l, x) $$

    with $n_l$ the size of layer l and x such that the total is exact: what a full layer cannot take is carried over to
    the others in equal parts.

    Variants: the authors' code takes x = budget / layers and loses what full layers cannot take.

    Cost: none. Needs data: no.

    Reference:
        Gadhikar, Mukherjee, Burkholz. Why random pruning is all we need to start sparse. ICML 2023. arXiv:2210.02412.
    """

    reference: ClassVar[Reference] = Reference(
        authors=("Advait Gadhikar", "Sohom Mukherjee", "Rebekka Burkholz"),
        title="Why Random Pruning Is All We Need to Start Sparse",
        venue="International Conference on Machine Learning",
        year=2023,
        arxiv="2210.02412",
    )

    def __call__(self, layers: Sequence[Layer], keep: int) -> dict[str, int]:
        """See `Budget`."""
        caps = {layer.name: layer.size for layer in layers}
        return apportion(rescale(dict.fromkeys(caps, 1.0), caps, keep), caps, keep)
