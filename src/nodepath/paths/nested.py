"""Tensors in what functions take and models return: lists, tuples, mappings, dataclasses."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Size, Tensor

_PLAIN = (int, float, str, slice)

__all__ = ["replace_tensors", "tensors_in"]


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in a value, in order."""
    found: list[Tensor] = []
    _gather(value, found)
    return found


def _gather(value: Any, found: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, list | tuple):
        if type(value) is not Size:
            for each in value:
                _gather(each, found)
    elif value is None or isinstance(value, _PLAIN):
        return
    elif isinstance(value, Mapping):
        for each in value.values():
            _gather(each, found)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            _gather(getattr(value, part.name), found)


def replace_tensors(value: Any, swap: Callable[[Tensor], Any]) -> Any:
    """The same lists, tuples and dicts with other tensors in them."""
    if isinstance(value, Tensor):
        return swap(value)
    if isinstance(value, list | tuple):
        parts = [replace_tensors(each, swap) for each in value]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*parts)
        return type(value)(parts)
    if isinstance(value, dict):
        return {key: replace_tensors(each, swap) for key, each in value.items()}
    return value
