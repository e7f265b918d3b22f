"""In which precision a score is computed: single at least, and double where the model is in double."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

__all__ = ["at_least_single", "without_autocast"]

_SINGLE = 4
"""Bytes of a number."""


def at_least_single(tensor: Tensor) -> Tensor:
    """The same numbers in float32, if their dtype holds fewer digits; sums of slopes would be lost in half precision.

    Args:
        tensor: Itself if it is in float32 or float64, or holds no real numbers.
    """
    return tensor.float() if tensor.is_floating_point() and tensor.dtype.itemsize < _SINGLE else tensor


@contextmanager
def without_autocast(device: torch.device) -> Iterator[None]:
    """Leave the caller's autocast for the time of the block, which would take products in half precision.

    Args:
        device: Of the model; that of the CPU is left as well, where masks and loss may lie.
    """
    with ExitStack() as stack:
        for kind in sorted({"cpu", device.type}):
            if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
