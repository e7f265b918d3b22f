"""What a forward pass did, in a few bytes: the same steps in the same order give the same counts."""

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Fingerprint"]


class Fingerprint:
    """A hash of all that decides about counts.

    Functions, their plain arguments, the shapes of parameters, and the contents of constants that are none: indices,
    masks, fixed filters.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, *values: Any) -> None:
        """Take in some values; tensors by what they hold."""
        for value in values:
            if isinstance(value, Tensor):
                self._add_tensor(value)
            elif isinstance(value, list | tuple):
                self.add(*value)
            elif isinstance(value, dict):
                self.add(*value.items())
            else:
                self._hash.update(repr(value).encode() + b";")

    @property
    def digest(self) -> bytes:
        """The hash so far."""
        return self._hash.digest()

    def _add_tensor(self, value: Tensor) -> None:
        self.add(tuple(value.shape), value.dtype)
        if isinstance(value, nn.Parameter) or value.layout != torch.strided:
            return
        held = value.detach().cpu().contiguous()
        if held.numel():
            self._hash.update(held.flatten().view(torch.uint8).numpy().data)
