"""Mask files: safetensors, one bit a weight, shapes and metadata in the header. No pickle.

The header's `__metadata__` has one key, `nodepath.masks`, whose value is JSON:
`{"format": 1, "hash": sha256, "entries": [[name, shape], ...], "metadata": {...}}`. Under each name lies a uint8
tensor with the packed bits of `bits.pack`. One key only, because safetensors writes several in no fixed order.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from nodepath.atomic import write_atomically
from nodepath.errors import MaskFileError
from nodepath.masks.bits import digest, pack, packed_size, unpack
from nodepath.masks.metadata import JSON

__all__ = ["read", "write"]

StrPath: TypeAlias = str | os.PathLike[str]

_KEY = "nodepath.masks"
_FORMAT = 1
_RESERVED = "__metadata__"


def write(path: StrPath, masks: Mapping[str, Tensor], metadata: Mapping[str, JSON]) -> None:
    """Write a mask file in one stroke: whoever looks sees the old file or the whole new one.

    The same names in the same order, bits and metadata give the same bytes.

    Raises:
        MaskFileError: The system refuses to write there; names the file and says why.
    """
    path = Path(path)
    if _RESERVED in masks:
        raise MaskFileError(
            f"cannot write {path}: safetensors keeps the name '{_RESERVED}' for itself; rename the mask"
        )
    packed = {name: pack(mask) for name, mask in masks.items()}
    header = {
        "format": _FORMAT,
        "hash": digest((name, tuple(masks[name].shape), packed[name]) for name in sorted(masks)),
        "entries": [[name, list(mask.shape)] for name, mask in masks.items()],
        "metadata": metadata,
    }
    write_atomically(path, save(packed, metadata={_KEY: json.dumps(header, sort_keys=True)}), MaskFileError)


def read(path: StrPath) -> tuple[dict[str, Tensor], dict[str, JSON]]:
    """The masks, bool on the CPU and in the order in which they were written, and the metadata.

    Raises:
        MaskFileError: The file is missing, cut short, changed since it was written, or not a mask file of ours; names
            the file and what is wrong.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="numpy") as file:
            header = _header(path, file.metadata())
            packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except OSError as error:
        raise MaskFileError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except SafetensorError as error:
        raise MaskFileError(
            f"{path} is cut short or not a mask file ({error}); write it again with MaskSet.save, "
            "or read a .pt file with from_pt"
        ) from error
    shapes = _shapes(path, header)
    if set(shapes) != set(packed):
        odd = sorted(set(shapes) ^ set(packed))[0]
        raise MaskFileError(f"{path}: '{odd}' is in the header or in the data, not in both; write the file again")
    for name, shape in shapes.items():
        if packed[name].dtype != np.uint8 or packed[name].shape != (packed_size(shape),):
            raise MaskFileError(f"{path}: the bits of '{name}' do not fill its shape {shape}; write the file again")
    if digest((name, shapes[name], packed[name]) for name in sorted(shapes)) != header["hash"]:
        raise MaskFileError(f"{path} was changed since it was written (its hash differs); write the file again")
    return {name: unpack(packed[name], shape) for name, shape in shapes.items()}, header["metadata"]


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _header(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    if not metadata or _KEY not in metadata:
        raise MaskFileError(
            f"{path} is a safetensors file without masks of ours; MaskSet.load reads what MaskSet.save wrote"
        )
    try:
        header = json.loads(metadata[_KEY], parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MaskFileError(f"{path} has a damaged header ({error}); write the file again") from error
    if not isinstance(header, dict) or not {"format", "hash", "entries", "metadata"} <= set(header):
        raise MaskFileError(f"{path} has a header that lacks entries; write the file again")
    if header["format"] != _FORMAT:
        raise MaskFileError(f"{path} has format {header['format']}, this nodepath reads {_FORMAT}; update nodepath")
    if not isinstance(header["metadata"], dict):
        raise MaskFileError(f"{path} has metadata that is no table; write the file again")
    return header


def _shapes(path: Path, header: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    entries = header["entries"] if isinstance(header["entries"], list) else [header["entries"]]
    for entry in entries:
        match entry:
            case [str(name), [*shape]] if all(type(size) is int and size >= 0 for size in shape):
                shapes[name] = tuple(shape)
            case _:
                raise MaskFileError(f"{path} lists {entry!r}, not a name and a shape; write the file again")
    return shapes
