"""ERK+: ERK, with the last fully connected layer dense."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nodepath.budgets.ends import last_linear
from nodepath.budgets.erdos_renyi import deserved
from nodepath.budgets.fixed import around, fitting
from nodepath.budgets.registry import BUDGETS
from nodepath.paths.layer import Layer
from nodepath.reference import Reference

__all__ = ["ErkPlus"]


@BUDGETS.register("erk-plus")
@dataclass(frozen=True, kw_only=True)
class ErkPlus:
    r"""ERK with the last fully connected layer dense, the others sparser for it.

    $$ d_{last} = 1, \qquad d_l \propto \frac{n_{in} + n_{out} + \sum_j k_j}{n_{in} \, n_{out} \, \prod_j k_j} $$

    with the dimensions as in `erk`, the total exact. The last is by the order of use, among the layers that are pruned;
    where it leaves less than a weight for each other layer it yields, with a `BudgetWarning`. Without a fully connected
    layer it is `erk`.

    Cost: none. Needs data: no.

    Reference:
        Liu, Chen, Chen, Shen, Mocanu, Wang, Pechenizkiy. The unreasonable effectiveness of random pruning: return of
        the most naive baseline for sparse training. ICLR 2022. arXiv:2202.02643.
    """

    reference: ClassVar[Reference] = Reference(
        authors=(
            "Shiwei Liu",
            "Tianlong Chen",
            "Xiaohan Chen",
            "Li Shen",
            "Decebal Constantin Mocanu",
            "Zhangyang Wang",
            "Mykola Pechenizkiy",
        ),
        title=(
            "The Unreasonable Effectiveness of Random Pruning: Return of the Most Naive Baseline for Sparse Training"
        ),
        venue="International Conference on Learning Representations",
        year=2022,
        arxiv="2202.02643",
    )

    def __call__(self, layers: Sequence[Layer], keep: int) -> dict[str, int]:
        """See `Budget`.

        Warns:
            BudgetWarning: The dense layer yields; names it.
        """
        caps = {layer.name: layer.size for layer in layers}
        last = last_linear(layers)
        dense = {} if last is None else fitting("erk-plus", {last.name: last.size}, caps, keep)
        return around(dense, {layer.name: deserved(layer, kernel=True) for layer in layers}, caps, keep)
