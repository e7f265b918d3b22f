"""Smart ratio: the deeper a layer, the sparser."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from nodepath.budgets.allocate import apportion
from nodepath.budgets.ends import last_linear
from nodepath.budgets.fixed import fitting
from nodepath.budgets.registry import BUDGETS
from nodepath.errors import ArgumentError
from nodepath.options import is_number
from nodepath.paths.layer import Layer
from nodepath.reference import Reference

__all__ = ["SmartRatio"]


@BUDGETS.register("smart-ratio")
@dataclass(frozen=True, kw_only=True)
class SmartRatio:
    r"""Densities that fall with the depth of a layer, by a fixed formula.

    $$ d_l \propto (L - l + 1)^2 + (L - l + 1) $$

    for layer l = 1 .. L of those that are pruned, in the order of use; the last fully connected layer keeps the part
    `last`. What goes beyond a full layer is carried over to the next ones, so that the total is exact. Where the fixed
    part leaves less than a weight for each other layer, or more than they hold, it yields, with a `BudgetWarning`.

    Args:
        last: Density of the last fully connected layer, in (0, 1].
        steep: Divide the formula by $l^2$, as the paper does for VGG.

    Variants: the authors' code counts l from 0 in that divisor, (l + 1)^2, rounds each layer down, so that the total is
    missed by a few, and gives every fully connected layer the part `last`: its networks have only one.

    Cost: none. Needs data: no.

    Reference:
        Su, Chen, Cai, Wu, Gao, Wang, Lee. Sanity-checking pruning methods: random tickets can win the jackpot.
        NeurIPS 2020. arXiv:2009.11094.
    """

    reference: ClassVar[Reference] = Reference(
        authors=(
            "Jingtong Su",
            "Yihang Chen",
            "Tianle Cai",
            "Tianhao Wu",
            "Ruiqi Gao",
            "Liwei Wang",
            "Jason D. Lee",
        ),
        title="Sanity-Checking Pruning Methods: Random Tickets can Win the Jackpot",
        venue="Advances in Neural Information Processing Systems",
        year=2020,
        arxiv="2009.11094",
    )

    last: float = 0.3
    steep: bool = False

    def __post_init__(self) -> None:
        if not is_number(self.last) or not 0 < self.last <= 1:
            raise ArgumentError(f"last is {self.last!r}; smart-ratio needs a density in (0, 1] (paper: 0.3)")
        if not isinstance(self.steep, bool):
            raise ArgumentError(f"steep is {self.steep!r}; smart-ratio needs True (VGG in the paper) or False")

    def __call__(self, layers: Sequence[Layer], keep: int) -> dict[str, int]:
        """See `Budget`.

        Warns:
            BudgetWarning: The fixed part yields; names it.
        """
        caps = {layer.name: layer.size for layer in layers}
        last = last_linear(layers)
        wanted = {} if last is None else {last.name: max(1, round(self.last * last.size))}
        fixed = fitting("smart-ratio", wanted, caps, keep)
        weights = {
            layer.name: layer.size * self._ratio(len(layers), place)
            for place, layer in enumerate(layers, start=1)
            if layer.name not in fixed
        }
        factor = (keep - sum(fixed.values())) / (sum(weights.values()) or 1.0)
        amounts = {name: float(count) for name, count in fixed.items()}
        over = 0.0
        for name, weight in weights.items():  # the ratio falls, so that those that overflow come first
            amount = factor * weight + over
            amounts[name] = min(amount, float(caps[name]))
            over = amount - amounts[name]
        return apportion({name: amounts[name] for name in caps}, caps, keep)

    def _ratio(self, number: int, place: int) -> float:
        ahead = number - place + 1
        return (ahead**2 + ahead) / (place**2 if self.steep else 1)
