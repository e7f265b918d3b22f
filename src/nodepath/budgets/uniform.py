"""Uniform: the same density in every layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nodepath.budgets.allocate import apportion, rescale
from nodepath.budgets.registry import BUDGETS
from nodepath.paths.layer import Layer
from nodepath.reference import Reference

__all__ = ["Uniform"]


@BUDGETS.register("random-uniform")
@dataclass(frozen=True, kw_only=True)
class Uniform:
    r"""The same density in every layer, exact in all.

    $$ d_l = d $$

    Largest remainders get the weights that rounding leaves.

    Variants: `random` ranks all layers at once, so that layer densities are equal in expectation only.

    Cost: none. Needs data: no.

    Reference:
        Gale, Elsen, Hooker. The state of sparsity in deep neural networks. arXiv:1902.09574.
    """

    reference: ClassVar[Reference] = Reference(
        authors=("Trevor Gale", "Erich Elsen", "Sara Hooker"),
        title="The State of Sparsity in Deep Neural Networks",
        venue="",
        year=2019,
        arxiv="1902.09574",
    )

    def __call__(self, layers: Sequence[Layer], keep: int) -> dict[str, int]:
        """See `Budget`."""
        caps = {layer.name: layer.size for layer in layers}
        return apportion(rescale({n: float(size) for n, size in caps.items()}, caps, keep), caps, keep)
