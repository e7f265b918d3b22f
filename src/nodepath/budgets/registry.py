"""What a budget is, and where budgets are filed."""

from collections.abc import Sequence
from typing import Protocol

from nodepath.paths.layer import Layer
from nodepath.registry import Registry

__all__ = ["BUDGETS", "Budget"]


class Budget(Protocol):
    """Shares a number of weights out among layers."""

    def __call__(self, layers: Sequence[Layer], keep: int) -> dict[str, int]:
        """Parameter name -> number of weights to keep; the numbers sum to `keep`, none exceeds its layer's size.

        Args:
            layers: The layers, in the order of use.
            keep: Number of weights to keep in all, at most the sum of the layers' sizes.
        """


BUDGETS: Registry[type[Budget]] = Registry("budget", "nodepath.budgets")
