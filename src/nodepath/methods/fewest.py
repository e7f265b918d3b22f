"""The fewest of many things that suffice."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["fewest"]


def fewest(places: Tensor, suffice: Callable[[Tensor], bool], taken: Tensor | None = None) -> Tensor:
    """Some places that suffice together with those taken, and of which none can be left out; earlier ones rather.

    By halves: QuickXplain (Junker, AAAI 2004), about 2 k log2(n / k) questions for k of n.

    Args:
        places: Numbers (n,), all of which suffice.
        suffice: Whether some of them do; with more, no less.
        taken: Numbers that are there in any case.
    """
    taken = places[:0] if taken is None else taken
    if not len(places) or suffice(taken):
        return places[:0]
    if len(places) == 1:
        return places
    first, second = places.tensor_split(2)
    later = fewest(second, suffice, torch.cat([taken, first]))
    return torch.cat([fewest(first, suffice, torch.cat([taken, later])), later])
