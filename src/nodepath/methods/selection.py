"""Keep the k best: exact counts, ties to the earlier position."""

from collections.abc import Mapping

import torch
from torch import Tensor

from nodepath.errors import NonFiniteError

__all__ = ["check_finite", "keep_best", "keep_best_by_layer", "top"]


def top(scores: Tensor, keep: int) -> Tensor:
    """Where the `keep` largest of a vector are; among equal ones, the first.

    By selection, not by sorting: O(n).

    Args:
        scores: Vector of any length; -inf is allowed, NaN is not.
        keep: How many, 0 .. length.

    Returns:
        Bool vector with exactly `keep` ones.
    """
    if keep <= 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    if keep >= scores.numel():
        return torch.ones_like(scores, dtype=torch.bool)
    threshold = torch.kthvalue(scores, scores.numel() - keep + 1).values
    chosen = scores > threshold
    missing = keep - int(chosen.sum())
    ties = (scores == threshold).nonzero().flatten()[:missing]
    chosen[ties] = True
    return chosen


def check_finite(values: Mapping[str, Tensor], what: str, way_out: str = "check the weights") -> None:
    """Raise for the first entry that is not finite.

    Raises:
        NonFiniteError: Names the parameter and counts its bad values.
    """
    for name, value in values.items():
        bad = value.numel() - int(torch.isfinite(value).sum())
        if bad:
            raise NonFiniteError(f"{what} of '{name}': {bad} of {value.numel()} are NaN or infinite; {way_out}")


def keep_best(scores: Mapping[str, Tensor], keep: int) -> dict[str, Tensor]:
    """Masks of the `keep` largest scores over all layers at once, ties to the earlier layer and position."""
    flat = torch.cat([score.flatten() for score in scores.values()])
    chosen = torch.split(top(flat, keep), [score.numel() for score in scores.values()])
    return {name: part.reshape(scores[name].shape) for name, part in zip(scores, chosen, strict=True)}


def keep_best_by_layer(scores: Mapping[str, Tensor], counts: Mapping[str, int]) -> dict[str, Tensor]:
    """Masks of the `counts[name]` largest scores of each layer, ties to the earlier position."""
    return {name: top(score.flatten(), counts[name]).reshape(score.shape) for name, score in scores.items()}
