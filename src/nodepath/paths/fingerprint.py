"""What a forward pass did, in a few bytes: the same steps in the same order give the same counts."""

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Fingerprint", "digest"]


class Fingerprint:
    """A hash of all that decides about counts: functions and their arguments, in order."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, *values: Any) -> None:
        """Take in some values that have a repr of their own; tensors as their `digest`."""
        self._hash.update(repr(values).encode())

    @property
    def digest(self) -> bytes:
        """The hash so far."""
        return self._hash.digest()


def digest(constant: Tensor) -> tuple[Any, ...]:
    """What a constant holds: indices, masks, fixed filters. Of a parameter, only the shape counts."""
    about = tuple(constant.shape), constant.dtype
    if isinstance(constant, nn.Parameter) or constant.layout != torch.strided or not constant.numel():
        return about
    held = constant.detach().cpu().clone(memory_format=torch.contiguous_format).flatten().view(torch.uint8).numpy()
    return *about, hashlib.blake2b(held.data, digest_size=16).digest()
