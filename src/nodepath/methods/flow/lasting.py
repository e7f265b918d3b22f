"""Who lasted longest while weights were pruned again and again."""

import math
from collections.abc import Iterator, Mapping

from torch import Tensor

from nodepath.methods.flow.weights import Placed

__all__ = ["Lasting"]


class Lasting(Mapping[str, Tensor]):
    """Of each weight the last step that its layer saw, plus half its share of all paths then; 0 if it had gone before.

    Parameter name -> float64, of the parameter's shape, made when asked for: it is only where a layer was emptied.

    Args:
        unranked: Parameter name -> which weights have no rank: -inf.
    """

    def __init__(self, unranked: Mapping[str, Tensor] | None = None) -> None:
        self._unranked = unranked or {}
        self._last: dict[str, tuple[int, Placed, Tensor, Tensor]] = {}

    def note(self, name: str, step: int, placed: Placed, shares: Tensor, alive: Tensor) -> None:
        """Take down a layer's last step.

        Args:
            name: Of its parameter.
            step: Number of the step.
            placed: Where the weights that are held are.
            shares: Of these.
            alive: The same, positive where a weight was left in that step.
        """
        self._last[name] = step, placed, shares, alive

    def __getitem__(self, name: str) -> Tensor:
        """Of one layer."""
        step, placed, shares, alive = self._last[name]
        ranks = placed.filled((step + shares.double().clamp(0, 1) / 2) * (alive > 0))
        return ranks.masked_fill(self._unranked[name], -math.inf) if name in self._unranked else ranks

    def __contains__(self, name: object) -> bool:
        """Whether a layer's last step is known."""
        return name in self._last

    def __iter__(self) -> Iterator[str]:
        """Names."""
        return iter(self._last)

    def __len__(self) -> int:
        """How many layers."""
        return len(self._last)
