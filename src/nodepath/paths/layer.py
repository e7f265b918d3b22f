"""What a prunable weight connects."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Layer"]


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

    @property
    def first_rows(self) -> tuple[int, ...]:
        """The first row of each part."""
        return tuple(sum(self.rows[:i]) for i in range(len(self.rows)))

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

    def macs(self, kept: Tensor) -> int:
        """Multiply-adds of one sample that the kept weights take.

        Args:
            kept: Bool, of the weight's shape.
        """
        return sum(
            int(part.count_nonzero()) * n
            for part, n in zip(torch.split(kept, list(self.rows)), self.positions, strict=True)
        )

    @property
    def dense_macs(self) -> int:
        """Multiply-adds of one sample that all weights take."""
        return self.size // self.shape[0] * sum(r * n for r, n in zip(self.rows, self.positions, strict=True))

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
