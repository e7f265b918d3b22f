"""In which precision a score is computed: single at least, and double where the model is in double."""

from torch import Tensor

__all__ = ["at_least_single"]

_SINGLE = 4
"""Bytes of a number."""


def at_least_single(tensor: Tensor) -> Tensor:
    """The same numbers in float32, if their dtype holds fewer digits; sums of slopes would be lost in half precision.

    Args:
        tensor: Itself if it is in float32 or float64, or holds no real numbers.
    """
    return tensor.float() if tensor.is_floating_point() and tensor.dtype.itemsize < _SINGLE else tensor
