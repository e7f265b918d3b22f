"""ERK: layer densities of a random graph whose degrees follow the layers' dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nodepath.budgets.allocate import apportion, rescale
from nodepath.budgets.erdos_renyi import deserved
from nodepath.budgets.registry import BUDGETS
from nodepath.paths.layer import Layer
from nodepath.reference import Reference

__all__ = ["Erk"]


@BUDGETS.register("erk")
@dataclass(frozen=True, kw_only=True)
class Erk:
    r"""Erdős-Rényi-Kernel layer counts: dense where layers are small, sparse where they are large.

    $$ d_l \propto \frac{n_{in} + n_{out} + \sum_j k_j}{n_{in} \, n_{out} \, \prod_j k_j} $$

    with the dimensions of the weight's own shape (of one group for a grouped convolution, of q, k or v for a packed
    projection), densities above 1 set to 1 and the others raised until the total is exact.

    Variants: a clamp without the second step loses up to a fifth of the budget; ER leaves the kernel out (`er`); ERK+
    keeps the last fully connected layer dense (`erk-plus`).

    Cost: none. Needs data: no.

    Reference:
        Evci, Gale, Menick, Castro, Elsen. Rigging the lottery: making all tickets winners. ICML 2020.
        arXiv:1911.11134. After Mocanu et al., arXiv:1707.04780.
    """

    reference: ClassVar[Reference] = Reference(
        authors=("Utku Evci", "Trevor Gale", "Jacob Menick", "Pablo Samuel Castro", "Erich Elsen"),
        title="Rigging the Lottery: Making All Tickets Winners",
        venue="International Conference on Machine Learning",
        year=2020,
        arxiv="1911.11134",
    )

    def __call__(self, layers: Sequence[Layer], keep: int) -> dict[str, int]:
        """See `Budget`."""
        caps = {layer.name: layer.size for layer in layers}
        weights = {layer.name: deserved(layer, kernel=True) for layer in layers}
        return apportion(rescale(weights, caps, keep), caps, keep)
