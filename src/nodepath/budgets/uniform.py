"""Uniform: the same density in every layer."""

from collections.abc import Sequence
from dataclasses import dataclass

from nodepath.budgets.allocate import apportion, rescale
from nodepath.paths.layer import Layer

__all__ = ["Uniform"]


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """The same density in every layer, exact in all: largest remainders get the weights that rounding leaves.

    Reference:
        Gale, Elsen, Hooker. The state of sparsity in deep neural networks. arXiv:1902.09574.
    """

    def __call__(self, layers: Sequence[Layer], keep: int) -> dict[str, int]:
        """See `Budget`."""
        caps = {layer.name: layer.size for layer in layers}
        return apportion(rescale({n: float(size) for n, size in caps.items()}, caps, keep), caps, keep)
