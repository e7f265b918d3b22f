"""What a forward pass did: the same steps in the same order give the same counts."""

import hashlib
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Fingerprint", "digest"]


class Fingerprint:
    """All that decides about counts: functions and their arguments, in order."""

    def __init__(self) -> None:
        self._steps: list[tuple[Hashable, ...]] = []

    def add(self, *values: Hashable) -> None:
        """Take in some values; tensors as their `digest`."""
        self._steps.append(values)

    @property
    def key(self) -> Hashable:
        """All so far, to be compared."""
        return tuple(self._steps)


def digest(constant: Tensor) -> tuple[Any, ...]:
    """What a constant holds: indices, masks, fixed filters. Of a parameter, only the shape counts."""
    about = tuple(constant.shape), constant.dtype
    if isinstance(constant, nn.Parameter) or constant.layout != torch.strided or not constant.numel():
        return about
    held = constant.detach().cpu().clone(memory_format=torch.contiguous_format).flatten().view(torch.uint8).numpy()
    return *about, hashlib.blake2b(held.data, digest_size=16).digest()
