"""What a prunable weight connects."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nodepath.masks import count_true
from nodepath.paths.site import Part

__all__ = ["Layer", "by_channel_in", "by_channel_out", "by_weight"]


@dataclass(frozen=True)
class Layer:
    """A prunable weight in the graph.

    Attributes:
        name: Its parameter name.
        shape: (out, in / groups, *kernel), or (in, out / groups, *kernel) if transposed.
        groups: Groups of a convolution; 1 for a Linear.
        transposed: See `shape`.
        linear: A matrix on the last axis, not a convolution.
        rows: Rows of each part: of the packed in-projection of attention, those of q, k and v; else one part.
        positions: How often each weight of a part is used in one forward pass of one sample.
        shortcut: A projection shortcut: alone on its side of a residual add, beside at least two layers in sequence.
    """

    name: str
    shape: tuple[int, ...]
    groups: int
    transposed: bool
    linear: bool
    rows: tuple[int, ...]
    positions: tuple[int, ...]
    shortcut: bool

    @cached_property
    def first_rows(self) -> tuple[int, ...]:
        """The first row of each part."""
        return tuple(sum(self.rows[:i]) for i in range(len(self.rows)))

    @property
    def parts(self) -> tuple[Part, ...]:
        """What each part is called."""
        return tuple((self.name, row) for row in self.first_rows)

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def inputs(self) -> int:
        """Number of input channels (of each part)."""
        return self.shape[0] if self.transposed else self.shape[1] * self.groups

    @property
    def outputs(self) -> int:
        """Number of output channels, of all parts."""
        return self.shape[1] * self.groups if self.transposed else self.shape[0]

    @property
    def cells(self) -> int:
        """Number of weights in one kernel; 1 for a Linear."""
        return math.prod(self.shape[2:])

    def kept(self, mask: Tensor) -> tuple[int, ...]:
        """How many weights of each part a mask keeps.

        Args:
            mask: Bool, of the weight's shape.
        """
        return tuple(map(count_true, torch.split(mask, list(self.rows)))) if len(self.rows) > 1 else (count_true(mask),)

    def macs(self, kept: tuple[int, ...]) -> int:
        """Multiply-adds of one sample.

        Args:
            kept: How many weights of each part there are.
        """
        return sum(count * n for count, n in zip(kept, self.positions, strict=True))

    @property
    def dense_kept(self) -> tuple[int, ...]:
        """How many weights each part has."""
        return tuple(self.size // self.shape[0] * rows for rows in self.rows)

    @property
    def dense_macs(self) -> int:
        """Multiply-adds of one sample that all weights take."""
        return self.macs(self.dense_kept)

    def kernels(self, values: Tensor) -> Tensor:
        """View one value a weight as (groups, out / groups, in / groups, cells)."""
        if self.transposed:
            return values.reshape(self.groups, self.inputs // self.groups, self.outputs // self.groups, -1).transpose(
                1, 2
            )
        return values.reshape(self.groups, self.outputs // self.groups, self.inputs // self.groups, -1)

    def weights(self, kernels: Tensor) -> Tensor:
        """The inverse of `kernels`."""
        return (kernels.transpose(1, 2) if self.transposed else kernels).reshape(self.shape)


def by_weight(layers: Mapping[str, Layer], found: Mapping[str, Tensor], none: Tensor) -> dict[str, Tensor]:
    """One value a weight for all layers in order: what was found, and `none`, a scalar, for the others."""
    return {name: found[name] if name in found else none.expand(layer.shape) for name, layer in layers.items()}


def by_channel_out(layers: Mapping[str, Layer], found: Mapping[str, Tensor], none: Tensor) -> dict[str, Tensor]:
    """The same of one value an output channel."""
    return {name: found[name] if name in found else none.expand(layer.outputs) for name, layer in layers.items()}


def by_channel_in(layers: Mapping[str, Layer], found: Mapping[Part, Tensor], none: Tensor) -> dict[Part, Tensor]:
    """The same of one value an input channel of each part."""
    return {
        part: found[part] if part in found else none.expand(layer.inputs)
        for layer in layers.values()
        for part in layer.parts
    }
