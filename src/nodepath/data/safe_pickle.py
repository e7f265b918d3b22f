"""Read pickles of plain values and byte arrays without ever running what a file asks for.

A pickle is a program: it may name any function and call it. Here the names it may use are a short list,
and each stands for a function of this module, not for the thing named.
"""

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nodepath.errors import DataError

__all__ = ["load_plain_pickle"]


class _Admitted:
    """A callable that a pickle may call but not alter (a pickle can set attributes of plain functions)."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call

    def __call__(self, *args: object) -> object:
        return self._call(*args)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it tries to alter a function")


class _ByteType:
    """Stands for a numpy dtype; only unsigned bytes are admitted."""

    __slots__ = ()

    def __init__(self, code: object, *_: object) -> None:
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"it holds an array of type {code!r}, not of bytes")

    def __setstate__(self, state: object) -> None:
        """Byte order and the like: nothing that a byte has."""


class _ByteArray:
    """Stands for a numpy array while the pickle fills it in."""

    __slots__ = ("values",)

    values: NDArray[np.uint8]

    def __setstate__(self, state: tuple[object, tuple[int, ...], object, bool, bytes]) -> None:
        _, shape, kind, fortran, content = state
        self.values = _shape_bytes(content, kind, shape, "F" if fortran else "C")


def _shape_bytes(content: bytes | bytearray, kind: object, shape: tuple[int, ...], order: str) -> NDArray[np.uint8]:
    if not isinstance(kind, _ByteType) or not isinstance(content, bytes | bytearray) or order not in ("C", "F"):
        raise pickle.UnpicklingError("it holds an array that is not of bytes")
    if len(content) != math.prod(shape):
        raise pickle.UnpicklingError(f"an array of shape {shape} has {len(content)} bytes")
    flat = np.frombuffer(content, np.uint8)
    return flat.reshape(shape) if order == "C" else flat.reshape(shape[::-1]).T


def _from_buffer(content: bytes | bytearray, kind: object, shape: tuple[int, ...], order: str) -> _ByteArray:
    array = _ByteArray()
    array.values = _shape_bytes(content, kind, shape, order)
    return array


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")


def _no_call(*_: object) -> object:
    raise pickle.UnpicklingError("it calls a type that may only be named")


# What numpy writes for an array in protocols 2 to 5, by its old and its new module names, and what
# Python 3 writes for bytes in protocol 2.
_NAMES: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): _Admitted(_no_call),
    ("numpy", "dtype"): _Admitted(_ByteType),
    ("_codecs", "encode"): _Admitted(_encode),
    ("__builtin__", "bytes"): _Admitted(lambda: b""),
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _Admitted(lambda *_: _ByteArray())
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _Admitted(_from_buffer)


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _NAMES:
            raise pickle.UnpicklingError(f"it asks for '{module_name}.{global_name}', which no image file needs")
        return _NAMES[module_name, global_name]


def _plain(value: object) -> object:
    return value.values if isinstance(value, _ByteArray) else value


def load_plain_pickle(file: Path) -> dict[str, Any]:
    """Read a pickled dict of numbers, text, lists and arrays of bytes, from Python 2 or 3.

    Args:
        file: A pickle of protocol 0 to 5.

    Returns:
        The dict, with its keys as text. Arrays are uint8 and read-only; text of Python 2 stays bytes.

    Raises:
        DataError: The file is damaged, is not a dict, or asks for anything but plain values.
    """
    try:
        with file.open("rb") as stream:
            content = _PlainUnpickler(stream, fix_imports=False, encoding="bytes").load()
    except Exception as error:  # a damaged pickle is a program gone wrong: it can end in any error
        raise DataError(f"{file} is no pickle of plain values: {error}; fetch it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds a {type(content).__name__}, not a dict; fetch it again")
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): _plain(v) for key, v in content.items()}
