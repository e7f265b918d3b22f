"""The data that a score is measured on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from nodepath.errors import ArgumentError

__all__ = ["Batch", "Loss"]

Loss = Callable[[Any, Any], Tensor]
"""(outputs, targets) -> mean over the samples, a scalar."""


@dataclass(frozen=True)
class Batch:
    """Inputs, targets and the loss that joins them.

    Attributes:
        parts: One (inputs, targets) or several.
        loss: Mean over the samples of a part.
    """

    parts: tuple[tuple[Any, Any], ...]
    loss: Loss = F.cross_entropy

    @classmethod
    def of(cls, batch: Any, loss: Loss | None = None) -> "Batch":
        """Read one pair (inputs, targets) or an iterable of them.

        Raises:
            ArgumentError: Neither.
        """
        pair = isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[0], Tensor)
        if not pair and not isinstance(batch, Iterable):
            raise ArgumentError(
                f"batch is a {type(batch).__name__}; pass (inputs, targets) or an iterable of such pairs"
            )
        parts = [tuple(batch)] if pair else [tuple(part) for part in batch]
        if not parts or any(len(part) != 2 for part in parts):
            raise ArgumentError("batch is empty or holds something else than pairs; pass (inputs, targets)")
        for inputs, targets in parts:
            if isinstance(inputs, Tensor) and isinstance(targets, Tensor) and len(inputs) != len(targets):
                raise ArgumentError(f"batch has {len(inputs)} inputs and {len(targets)} targets; they must be as many")
        return cls(tuple(parts), loss or F.cross_entropy)

    @property
    def samples(self) -> int:
        """Number of samples in all parts."""
        return sum(len(targets) for _, targets in self.parts)
