"""The data that a score is measured on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nodepath.errors import ArgumentError
from nodepath.paths.nested import tensors_in

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
        if not isinstance(batch, Iterable):
            raise ArgumentError(
                f"batch is a {type(batch).__name__}; pass (inputs, targets) or an iterable of such pairs"
            )
        parts = [tuple(batch)] if _is_pair(batch) else [_pair(part) for part in batch]
        if not parts:
            raise ArgumentError("batch is empty; pass (inputs, targets)")
        for inputs, targets in parts:
            if isinstance(inputs, Tensor) and isinstance(targets, Tensor) and len(inputs) != len(targets):
                raise ArgumentError(f"batch has {len(inputs)} inputs and {len(targets)} targets; they must be as many")
        return cls(tuple(parts), loss or F.cross_entropy)

    @property
    def samples(self) -> int:
        """Number of samples in all parts."""
        return sum(len(targets) for _, targets in self.parts)

    @property
    def hash(self) -> str:
        """16 hexadecimal digits of SHA-256 over the bytes of all tensors, in order."""
        digest = sha256()
        for tensor in tensors_in(self.parts):
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]


def _is_pair(value: Any) -> bool:
    """Whether it is (inputs, targets): inputs may themselves be a tuple or a dict of tensors."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    inputs, targets = value
    return isinstance(targets, Tensor) and isinstance(inputs, Tensor | tuple | list | Mapping)


def _pair(part: Any) -> tuple[Any, Any]:
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise _no_batch(part)
    return part[0], part[1]


def _no_batch(value: Any) -> ArgumentError:
    return ArgumentError(
        f"batch is or holds a {type(value).__name__}; pass (inputs, targets) or an iterable of such pairs"
    )
