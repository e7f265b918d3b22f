"""Masks as packed bits: the form that is hashed and saved."""

import hashlib
import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["digest", "pack", "packed_size", "unpack"]

Bytes = NDArray[np.uint8]


def packed_size(shape: tuple[int, ...]) -> int:
    """Number of bytes that the bits of a mask of that shape take."""
    return (math.prod(shape) + 7) // 8


def pack(mask: Tensor) -> Bytes:
    """Eight weights a byte: C order, the first weight in the lowest bit, the last byte filled up with zeros."""
    return np.packbits(mask.cpu().numpy().reshape(-1), bitorder="little")


def unpack(packed: Bytes, shape: tuple[int, ...]) -> Tensor:
    """The inverse of `pack`: a bool tensor of that shape, on the CPU."""
    bits = np.unpackbits(packed, count=math.prod(shape), bitorder="little")
    return torch.from_numpy(bits).view(torch.bool).reshape(shape)


def digest(entries: Iterable[tuple[str, tuple[int, ...], Bytes]]) -> str:
    """SHA-256 over names, shapes and packed bits, in hexadecimal.

    For each entry, in the order given (callers sort by name): the length of the name in UTF-8, the name, the number
    of dimensions, the dimensions, the packed bits; every number as 8 bytes, little-endian. Lengths come before what
    they measure, so no two different mask sets give the same stream.
    """
    stream = hashlib.sha256()
    for name, shape, packed in entries:
        label = name.encode()
        stream.update(len(label).to_bytes(8, "little") + label)
        stream.update(b"".join(number.to_bytes(8, "little") for number in (len(shape), *shape)))
        stream.update(packed.data)
    return stream.hexdigest()
