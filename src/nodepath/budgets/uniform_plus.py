"""Uniform+: the same density in every layer but the first convolution and the last fully connected one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nodepath.budgets.ends import first_convolution, last_linear
from nodepath.budgets.fixed import around, fitting
from nodepath.budgets.registry import BUDGETS
from nodepath.budgets.uniform import Uniform
from nodepath.paths.layer import Layer
from nodepath.reference import Reference

__all__ = ["UniformPlus"]


@BUDGETS.register("uniform-plus")
@dataclass(frozen=True, kw_only=True)
class UniformPlus:
    r"""The same density in every layer, but the first convolution dense and the last fully connected layer a fifth.

    $$ d_{first} = 1, \qquad d_{last} = \max(d, 0.2), \qquad d_l = d \text{ for the others,} $$

    with d such that the total is exact. First and last are by the order of use, among the layers that are pruned. Where
    the dense layer and the fifth leave less than a weight for each other layer both yield, with a `BudgetWarning`.

    Variants: RigL's keeps the first layer dense and treats the last like the others.

    Cost: none. Needs data: no.

    Reference:
        Gale, Elsen, Hooker. The state of sparsity in deep neural networks. arXiv:1902.09574.
    """

    reference: ClassVar[Reference] = Uniform.reference  # the same paper

    def __call__(self, layers: Sequence[Layer], keep: int) -> dict[str, int]:
        """See `Budget`.

        Warns:
            BudgetWarning: A fixed part yields; names it.
        """
        caps = {layer.name: layer.size for layer in layers}
        total = sum(caps.values())
        first, last = first_convolution(layers), last_linear(layers)
        fixed = {} if first is None else {first.name: first.size}
        dense = sum(fixed.values())
        if last is not None and 5 * (keep - dense) < total - dense:
            fixed[last.name] = math.ceil(last.size / 5)
        fixed = fitting("uniform-plus", fixed, caps, keep)
        return around(fixed, {name: float(size) for name, size in caps.items()}, caps, keep)
