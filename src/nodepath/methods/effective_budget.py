"""How many weights to keep so that a given number of them lies on a path."""

from collections.abc import Callable

__all__ = ["nearest_effective_count"]


def nearest_effective_count(effective: Callable[[int], int], target: int, size: int) -> int:
    """The number of weights to keep whose effective number comes nearest to `target`.

    By bisection between `target` (no more can be effective than are kept) and `size`, which assumes that more kept
    weights mean more effective ones; of all counts tried the nearest is taken, of equally near ones the smallest.

    Args:
        effective: Number of effective weights when so many are kept.
        target: How many shall be effective, at least 1.
        size: The most that can be kept.

    Cost: log2(size - target) calls.
    """
    tried: dict[int, int] = {}

    def at(keep: int) -> int:
        if keep not in tried:
            tried[keep] = effective(keep)
        return tried[keep]

    low, high = target, size
    while low < high and at(low) != target:
        middle = (low + high) // 2
        if at(middle) >= target:
            high = middle
        else:
            low = middle + 1
    at(low)
    return min(sorted(tried), key=lambda keep: abs(tried[keep] - target))
