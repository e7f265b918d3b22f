"""Tensors in what functions take and models return: lists, tuples, mappings, dataclasses."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from types import NoneType
from typing import Any

from torch import Size, Tensor, dtype

PLAIN = {bool, int, float, str, Size, dtype, NoneType}
"""What holds no tensors, and can be hashed."""

__all__ = ["PLAIN", "replace_tensors", "tensors_in"]


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in a value, in order."""
    found: list[Tensor] = []
    _gather((value,), found)
    return found


def _gather(values: Iterable[Any], found: list[Tensor]) -> None:
    for value in values:
        if type(value) in PLAIN:
            continue
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            _gather(value, found)
        elif isinstance(value, Mapping):
            _gather(value.values(), found)
        elif is_dataclass(value) and not isinstance(value, type):
            _gather((getattr(value, part.name) for part in fields(value)), found)


def replace_tensors(value: Any, swap: Callable[[Tensor], Any]) -> Any:
    """The same lists, tuples, mappings and dataclasses with other tensors in them; any mapping becomes a dict."""
    if isinstance(value, Tensor):
        return swap(value)
    if isinstance(value, list | tuple):
        parts = [replace_tensors(each, swap) for each in value]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*parts)
        return type(value)(parts)
    if isinstance(value, Mapping):
        return {key: replace_tensors(each, swap) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: replace_tensors(getattr(value, f.name), swap) for f in fields(value)})
    return value
