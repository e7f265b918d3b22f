"""Keep the k best: exact counts, ties to the earlier position."""

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from nodepath.errors import NonFiniteError
from nodepath.masks import count_true

__all__ = ["check_finite", "keep_best", "keep_best_by_layer", "top"]

_LARGE = 1 << 20
"""Of more scores, only those that lie near the threshold are copied."""

_SAMPLE = 1 << 16


def top(scores: Tensor, keep: int) -> Tensor:
    """Where the `keep` largest of a vector are; among equal ones, the first.

    Args:
        scores: Vector of any length; -inf is allowed, NaN is not.
        keep: How many, 0 .. length.

    Returns:
        Bool vector with exactly `keep` ones.
    """
    return keep_best({"": scores}, keep)[""]


def check_finite(values: Mapping[str, Tensor], what: str, way_out: str = "check the weights") -> None:
    """Raise for the first entry that is not finite.

    Raises:
        NonFiniteError: Names the parameter and counts its bad values.
    """
    for name, value in values.items():
        if math.isfinite(value.detach().sum()):  # a tenth of the time of looking at each
            continue
        bad = value.numel() - int(torch.isfinite(value).sum())
        if bad:
            raise NonFiniteError(f"{what} of '{name}': {bad} of {value.numel()} are NaN or infinite; {way_out}")


def keep_best(scores: Mapping[str, Tensor], keep: int) -> dict[str, Tensor]:
    """Masks of the `keep` largest scores over all layers at once, ties to the earlier layer and position.

    By selection, not by sorting.

    Cost: O(n), and a copy of the scores near the threshold, of few scores of all.
    """
    if keep <= 0:
        return {name: torch.zeros_like(score, dtype=torch.bool) for name, score in scores.items()}
    if keep >= sum(score.numel() for score in scores.values()):
        return {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    threshold = _kth_largest(scores.values(), keep)
    chosen = {name: (score > threshold).contiguous() for name, score in scores.items()}
    missing = keep - sum(map(count_true, chosen.values()))
    for name, score in scores.items():
        if missing == 0:
            break
        ties = (score == threshold).flatten().nonzero().flatten()[:missing]
        chosen[name].view(-1)[ties] = True
        missing -= len(ties)
    return chosen


def _kth_largest(scores: Collection[Tensor], k: int) -> float:
    """The k-th largest of all; -inf if fewer are above that."""
    low, high = _bracket(scores, k) if sum(score.numel() for score in scores) > _LARGE else (-math.inf, math.inf)
    found = _between(scores, k, low, high)
    if found is None:  # the sample misled
        found = _between(scores, k, -math.inf, math.inf)
        assert found is not None
    return found


def _bracket(scores: Collection[Tensor], k: int) -> tuple[float, float]:
    """Two scores that the k-th largest lies between, with all but certainty, from a sample."""
    size = sum(score.numel() for score in scores)
    sample = torch.cat([score.flatten()[:: max(1, size // _SAMPLE)] for score in scores]).sort(descending=True).values
    place = k / size * len(sample)
    margin = 6 * math.sqrt(place) + len(scores) + 64  # each layer may give one more or less than its part
    first, last = int(place - margin), int(place + margin)
    low = float(sample[last]) if last < len(sample) else -math.inf
    return low, float(sample[first]) if first >= 0 else math.inf


def _between(scores: Collection[Tensor], k: int, low: float, high: float) -> float | None:
    """The k-th largest of all if it lies above `low` and not above `high`, or is -inf; else None."""
    larger = 0 if high == math.inf else sum(count_true(score > high) for score in scores)
    numbers = [count_true(_in(score, low, high)) for score in scores]
    place = sum(numbers) - (k - larger)
    if place < 0 and low == -math.inf:
        return -math.inf
    if not 0 <= place < sum(numbers):
        return None
    first = next(iter(scores))
    near = torch.empty(sum(numbers), dtype=first.dtype, device=first.device)
    for part, score in zip(torch.split(near, numbers), scores, strict=True):
        # layer by layer: all at once, they would be there twice
        part.copy_(score.flatten() if len(part) == score.numel() else score[_in(score, low, high)])
    if near.device.type == "cpu" and near.dtype != torch.bfloat16:
        values = near.numpy()  # in place, where torch would take two more copies
        values.partition(place)
        return float(values[place])
    return float(torch.kthvalue(near, place + 1).values)


def _in(score: Tensor, low: float, high: float) -> Tensor:
    return score > low if high == math.inf else (score > low) & (score <= high)


def keep_best_by_layer(scores: Mapping[str, Tensor], counts: Mapping[str, int]) -> dict[str, Tensor]:
    """Masks of the `counts[name]` largest scores of each layer, ties to the earlier position."""
    return {name: top(score.flatten(), counts[name]).reshape(score.shape) for name, score in scores.items()}
