"""From wishes to whole numbers that sum to the budget."""

from collections.abc import Mapping

from nodepath.errors import BudgetError

__all__ = ["apportion", "check_room", "rescale"]


def rescale(weights: Mapping[str, float], caps: Mapping[str, int], keep: int) -> dict[str, float]:
    """Real amounts in proportion to `weights`, none above its cap, that sum to `keep`.

    Layers that would overflow are filled, and the rest is shared out again among the others: a mere clamp
    would lose what overflows.

    Args:
        weights: Name -> how much of the budget it deserves, > 0.
        caps: Name -> the most that it can hold.
        keep: The sum to reach.

    Raises:
        BudgetError: `keep` exceeds the sum of the caps.
    """
    check_room(caps, keep)
    full: set[str] = set()
    while True:
        left = keep - sum(caps[name] for name in full)
        total = sum(weight for name, weight in weights.items() if name not in full)
        scale = left / total if total else 0.0
        overflowing = {n for n, w in weights.items() if n not in full and w * scale >= caps[n]}
        if not overflowing:
            return {n: float(caps[n]) if n in full else w * scale for n, w in weights.items()}
        full |= overflowing


def check_room(caps: Mapping[str, int], keep: int) -> None:
    """Raise if there are fewer weights than are to be kept.

    Raises:
        BudgetError: `keep` exceeds the sum of the caps.
    """
    if keep > sum(caps.values()):
        raise BudgetError(f"cannot keep {keep} weights: there are only {sum(caps.values())}; ask for fewer")


def apportion(amounts: Mapping[str, float], caps: Mapping[str, int], keep: int) -> dict[str, int]:
    """Round amounts that sum to `keep` to whole numbers that do: largest remainders first, ties to the earlier name.

    Args:
        amounts: Name -> real amount.
        caps: Name -> the most that it can hold.
        keep: The sum to reach.

    Raises:
        BudgetError: `keep` exceeds the sum of the caps.
    """
    check_room(caps, keep)
    counts = {name: min(int(amount + 1e-9), caps[name]) for name, amount in amounts.items()}
    order = sorted(amounts, key=lambda name: counts[name] - amounts[name])
    missing = keep - sum(counts.values())
    while missing > 0:
        for name in order:
            if missing and counts[name] < caps[name]:
                counts[name] += 1
                missing -= 1
    return counts
