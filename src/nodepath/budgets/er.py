"""ER: layer densities of an Erdős-Rényi graph between channels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nodepath.budgets.allocate import apportion, rescale
from nodepath.budgets.erdos_renyi import deserved
from nodepath.budgets.registry import BUDGETS
from nodepath.paths.layer import Layer
from nodepath.reference import Reference

__all__ = ["Er"]


@BUDGETS.register("er")
@dataclass(frozen=True, kw_only=True)
class Er:
    r"""Erdős-Rényi layer counts: as many weights as the layer has channels on both sides, times one factor.

    $$ d_l \propto \frac{n_{in} + n_{out}}{n_{in} \, n_{out}} $$

    with $n_{in}$ and $n_{out}$ the channels (of one group for a grouped convolution, of q, k or v for a packed
    projection), densities above 1 set to 1 and the others raised until the total is exact. A k x k convolution has the
    density of a 1 x 1 convolution between the same channels; `erk` counts the kernel as well.

    Variants: the paper draws each weight of a fully connected layer with this probability, with a factor the user sets;
    here the factor is the one that makes the total exact, and so are the counts.

    Cost: none. Needs data: no.

    Reference:
        Mocanu, Mocanu, Stone, Nguyen, Gibescu, Liotta. Scalable training of artificial neural networks with adaptive
        sparse connectivity inspired by network science. Nature Communications 2018. arXiv:1707.04780. For
        convolutions as in Evci et al., arXiv:1911.11134.
    """

    reference: ClassVar[Reference] = Reference(
        authors=(
            "Decebal Constantin Mocanu",
            "Elena Mocanu",
            "Peter Stone",
            "Phuong H. Nguyen",
            "Madeleine Gibescu",
            "Antonio Liotta",
        ),
        title=(
            "Scalable Training of Artificial Neural Networks with Adaptive Sparse Connectivity Inspired by Network "
            "Science"
        ),
        venue="Nature Communications",
        year=2018,
        arxiv="1707.04780",
        journal=True,
    )

    def __call__(self, layers: Sequence[Layer], keep: int) -> dict[str, int]:
        """See `Budget`."""
        caps = {layer.name: layer.size for layer in layers}
        weights = {layer.name: deserved(layer, kernel=False) for layer in layers}
        return apportion(rescale(weights, caps, keep), caps, keep)
