"""Share a total out in proportion, within bounds."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Numbers", "shared_out"]

Numbers = NDArray[np.float64]


def shared_out(weights: Numbers, lows: Numbers, highs: Numbers, total: float) -> Numbers:
    r"""Amounts $\min(\max(\lambda w, low), high)$ that sum to a total, as far as lows and highs allow.

    The sum grows with $\lambda$ in straight pieces, between points where an amount leaves its low or meets its high.

    Args:
        weights: w >= 0 (n,); what has 0 stays at its low.
        lows: The least of each amount (n,).
        highs: The most of each (n,).
        total: The sum to reach; if the lows exceed it they are scaled down.

    Cost: O(n log n).
    """
    if lows.sum() >= total or total <= 0:
        scaled: Numbers = lows * (total / lows.sum() if total > 0 else 0.0)
        return scaled
    free = weights > 0
    amounts: Numbers = np.where(free, highs, lows).astype(float)
    if amounts.sum() <= total:
        return amounts
    w, low, high = weights[free], lows[free], highs[free]
    points = np.concatenate([low / w, high / w])
    order = np.argsort(points, kind="stable")
    points, slopes = points[order], np.concatenate([w, -w])[order].cumsum()
    sums = lows.sum() + np.concatenate([[0.0], (slopes[:-1] * np.diff(points)).cumsum()])
    piece = int(np.searchsorted(sums, total, side="right")) - 1
    factor = points[piece] + (total - sums[piece]) / slopes[piece]
    amounts[free] = np.clip(factor * w, low, high)
    return amounts
