"""IGQ: layers as cylinders of gas that one force compresses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nodepath.budgets.allocate import apportion, check_room
from nodepath.budgets.registry import BUDGETS
from nodepath.paths.layer import Layer
from nodepath.reference import Reference

__all__ = ["Igq"]


@BUDGETS.register("igq")
@dataclass(frozen=True, kw_only=True)
class Igq:
    r"""Ideal gas quotas: one force compresses all layers, the large ones more.

    $$ d_l = \frac{1}{F n_l + 1} $$

    with $n_l$ the size of layer l and the force F such that the total is exact. No density exceeds 1, and at high
    sparsity all layers tend to the same number of weights, 1 / F.

    Cost: a bisection for the force, in which each step takes one sum over the layers. Needs data: no.

    Reference:
        Vysogorets, Kempe. Connectivity matters: neural network pruning through the lens of effective sparsity.
        JMLR 2023. arXiv:2107.02306.
    """

    reference: ClassVar[Reference] = Reference(
        authors=("Artem Vysogorets", "Julia Kempe"),
        title="Connectivity Matters: Neural Network Pruning Through the Lens of Effective Sparsity",
        venue="Journal of Machine Learning Research",
        year=2023,
        arxiv="2107.02306",
        journal=True,
    )

    def __call__(self, layers: Sequence[Layer], keep: int) -> dict[str, int]:
        """See `Budget`."""
        caps = {layer.name: layer.size for layer in layers}
        check_room(caps, keep)
        if keep == 0:
            return dict.fromkeys(caps, 0)

        def kept(force: float) -> dict[str, float]:
            return {name: size / (force * size + 1) for name, size in caps.items()}

        low, high = 0.0, len(caps) / keep  # no layer keeps more than 1 / F
        while low < (middle := (low + high) / 2) < high:
            low, high = (middle, high) if sum(kept(middle).values()) > keep else (low, middle)
        return apportion(kept(high), caps, keep)
