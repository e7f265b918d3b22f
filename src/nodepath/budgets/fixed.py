"""Layers whose count is fixed before the others share the rest."""

import warnings
from collections.abc import Mapping

from nodepath.budgets.allocate import apportion, check_room, rescale
from nodepath.errors import BudgetWarning

__all__ = ["around", "fitting"]


def fitting(budget: str, fixed: Mapping[str, int], caps: Mapping[str, int], keep: int) -> dict[str, int]:
    """The fixed parts if they fit, else none: all yield, and those layers take their share like the others.

    They fit if what they leave is a weight or more for each other layer, and if the other layers can hold it.

    Args:
        budget: Its name, for the warning.
        fixed: Name -> how many weights it is to keep.
        caps: Name -> the most that it can hold, of all layers.
        keep: Number of weights to keep in all.

    Raises:
        BudgetError: `keep` exceeds the sum of the caps.

    Warns:
        BudgetWarning: They yield; names them.
    """
    check_room(caps, keep)
    left, room = keep - sum(fixed.values()), sum(cap for name, cap in caps.items() if name not in fixed)
    if not fixed or len(caps) - len(fixed) <= left <= room:
        return dict(fixed)
    parts = " and ".join(f"'{name}' ({count} of its {caps[name]} weights)" for name, count in fixed.items())
    warnings.warn(
        f"{budget}: what is fixed for {parts} does not go with {keep} weights in all, so it yields; choose another "
        "sparsity or budget",
        BudgetWarning,
        stacklevel=2,
    )
    return {}


def around(
    fixed: Mapping[str, int], weights: Mapping[str, float], caps: Mapping[str, int], keep: int
) -> dict[str, int]:
    """Counts that sum to the budget: those that are fixed, and the others' in proportion to what they deserve.

    Args:
        fixed: Name -> its count.
        weights: Name -> how much it deserves, > 0, of all layers in order.
        caps: Name -> the most that it can hold, of all layers.
        keep: The sum to reach.

    Raises:
        BudgetError: `keep` exceeds the sum of the caps.
    """
    rest = {name: weight for name, weight in weights.items() if name not in fixed}
    amounts = rescale(rest, {name: caps[name] for name in rest}, keep - sum(fixed.values()))
    return apportion({name: amounts[name] if name in amounts else float(fixed[name]) for name in weights}, caps, keep)
