"""The example input: a tensor, a tuple, or a dict of keyword arguments. Only shapes count."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nodepath.errors import ArgumentError

__all__ = ["Example", "ExampleInput"]

ExampleInput = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]


@dataclass(frozen=True)
class Example:
    """An example input, ready for a call.

    Attributes:
        args: Positional arguments.
        kwargs: Keyword arguments.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @classmethod
    def of(cls, x: ExampleInput) -> "Example":
        """Read a tensor, a tuple or list of arguments, or a mapping of keyword arguments.

        Raises:
            ArgumentError: Something else, no tensor in it, or an empty tensor.
        """
        args: tuple[Any, ...] = ()
        kwargs: dict[str, Any] = {}
        if isinstance(x, Tensor):
            args = (x,)
        elif isinstance(x, tuple | list):
            args = tuple(x)
        elif isinstance(x, Mapping):
            kwargs = dict(x)
        else:
            raise ArgumentError(
                f"example input is a {type(x).__name__}; pass a tensor, a tuple of arguments, or a dict of keyword "
                "arguments, e.g. torch.zeros(1, 3, 32, 32)"
            )
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        if not tensors:
            raise ArgumentError("example input holds no tensor; pass one of the shape that the model takes")
        for tensor in tensors:
            if tensor.numel() == 0:
                raise ArgumentError(f"example input has shape {tuple(tensor.shape)}, which is empty; use a batch of 1")
        return cls(args, kwargs)

    def sources(self) -> list[Tensor]:
        """The floating-point tensors: where paths begin. One that holds -inf is a mask, and taken as it is."""
        return [x for x in self._tensors() if x.is_floating_point() and not bool(torch.isneginf(x).any())]

    def indices(self) -> list[Tensor]:
        """Tensors of whole numbers: paths begin where an embedding or a layer reads them."""
        return [x for x in self._tensors() if not x.is_floating_point() and not x.is_complex()]

    def _tensors(self) -> list[Tensor]:
        return [value for value in (*self.args, *self.kwargs.values()) if isinstance(value, Tensor)]

    @property
    def rows(self) -> int:
        """How many entries all tensors have on their first axis; 1 if they differ, or have none but that one."""
        sizes = {tensor.shape[0] for tensor in self._tensors() if tensor.ndim}
        return sizes.pop() if len(sizes) == 1 and any(tensor.ndim > 1 for tensor in self._tensors()) else 1

    def first(self, rows: int) -> "Example":
        """The same call with the first rows of each tensor."""
        return self.replace({id(tensor): tensor[:rows] for tensor in self._tensors() if tensor.ndim})

    def replace(self, swap: Mapping[int, Tensor]) -> "Example":
        """The same call with some tensors, known by id, swapped for others."""

        def swapped(value: Any) -> Any:
            return swap.get(id(value), value)

        return Example(tuple(map(swapped, self.args)), {k: swapped(v) for k, v in self.kwargs.items()})

    def to(self, device: torch.device) -> "Example":
        """The same call on another device."""
        return self.replace({id(v): v.to(device) for v in (*self.args, *self.kwargs.values()) if isinstance(v, Tensor)})
