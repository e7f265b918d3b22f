"""Tensors in what functions take and models return: lists, tuples, mappings, dataclasses."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

_PLAIN = (int, float, str)

__all__ = ["replace_tensors", "tensors_in"]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in a value, in order."""
    if isinstance(value, Tensor):
        yield value
    elif value is None or isinstance(value, _PLAIN):
        return
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_in(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from tensors_in(each)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            yield from tensors_in(getattr(value, part.name))


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
