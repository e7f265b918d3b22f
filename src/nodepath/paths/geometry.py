"""How the weight of a layer connects its inputs to its outputs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from nodepath.paths.conversion import converted

__all__ = ["Geometry"]

_PIECE = 1 << 19
"""So many entries of a matrix are converted at once: few enough for the caches, and enough for several threads."""


@dataclass(frozen=True)
class Geometry:
    """A linear layer, or a convolution with its options; what arrives at convolutions has a batch axis.

    Attributes:
        shape: Of the weight: (out, in / groups, *kernel), or (in, out / groups, *kernel) if transposed.
        linear: A matrix on the last axis, not a convolution.
        groups: Groups of a convolution; 1 for a linear layer.
        transposed: A transposed convolution.
        stride, padding, dilation, output_padding: One number a spatial axis.
        parallel: Axes of the weight along which cells are parallel edges, and the shape has length 1.
        multiplicity: How many parallel edges there are between two channels.
    """

    shape: tuple[int, ...]
    linear: bool = False
    groups: int = 1
    transposed: bool = False
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    output_padding: tuple[int, ...] = ()
    parallel: tuple[int, ...] = ()
    multiplicity: int = 1

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return self.shape[0] if self.transposed else self.shape[1] * self.groups

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return self.shape[1] * self.groups if self.transposed else self.shape[0]

    @property
    def by_channel(self) -> bool:
        """Each channel makes one other."""
        return self.inputs == self.outputs == self.groups > 1

    @property
    def axis(self) -> int:
        """Which axis of activations holds the channels."""
        return -1 if self.linear else 1

    def output_shape(self, shape: Sequence[int]) -> torch.Size:
        """Of the activation after the layer."""
        return torch.Size([*shape[:-1], self.outputs]) if self.linear else _output_shape(self, tuple(shape))

    def positions(self, shape: Sequence[int]) -> int:
        """At how many places each weight is used on an input of this shape."""
        made = shape if self.transposed else self.output_shape(shape)
        return math.prod(made) // made[self.axis]

    def folded(self, folded: tuple[bool, ...]) -> "Geometry":
        """The layer on activations some of whose spatial axes have length 1, where a kernel's cells are parallel edges.

        Args:
            folded: Of each axis of the input.
        """
        return self if self.linear or not any(folded[2:]) else _folded(self, folded)

    def compact(self, edges: Tensor) -> Tensor:
        """Edges as counts see them, which `spread` and `pull` take as well: of parallel ones, how many there are.

        Args:
            edges: Of the shape of the weight; left as they are if none are parallel, or they are compact.
        """
        if all(edges.shape[axis] == 1 for axis in self.parallel):
            return edges
        if edges.is_floating_point():  # counts are float64 where there is such a thing, so their sums are
            wide = edges.dtype if edges.device.type == "mps" else torch.float64
            return edges.sum(self.parallel, keepdim=True, dtype=wide)
        if self.multiplicity > 255:
            return edges.sum(self.parallel, keepdim=True, dtype=torch.float32)
        return edges.view(torch.uint8).sum(self.parallel, keepdim=True, dtype=torch.uint8)

    def spread(self, counts: Tensor, edges: Tensor | None) -> Tensor:
        """Send counts through edges; None: through all."""
        if edges is None:
            return self._to_outputs(self._spread_one(self._of_groups(counts)))
        edges = self.compact(edges)
        if self.is_matrix(counts):
            return self._as_activation(_times(edges.flatten(1), counts.flatten()), counts)
        edges = converted(edges, counts.dtype)
        return F.linear(counts, edges) if self.linear else self._convolve(counts, edges, self.groups)

    def spread_alike(self, counts: Tensor, cells: Tensor) -> Tensor:
        """Send counts through edges that do not differ between the channels of a group.

        Args:
            counts: What arrives.
            cells: One edge a cell, of the kernel's own shape (weight.shape[2:]), whatever is folded.
        """
        return self._to_outputs(self._spread_one(self._of_groups(counts), cells))

    def pull(self, slope: Tensor, edges: Tensor | None, counts: Tensor) -> Tensor:
        """The slope of what `spread` gives in each of the counts, from the slope in its result."""
        if edges is None:
            with torch.enable_grad():
                grouped = self._of_groups(counts.detach()).requires_grad_()
                made = self._spread_one(grouped)
            (one,) = torch.autograd.grad(made, grouped, self._of_groups(slope))
            return self._to_inputs(one)
        edges = self.compact(edges)
        if self.is_matrix(counts):
            return self._as_activation(_transposed_times(edges.flatten(1), slope.flatten()), counts)
        edges = converted(edges, counts.dtype)
        if self.linear:
            return torch.matmul(slope, edges)
        return self._convolution_slopes(slope, counts, edges, inputs=True)

    def touch(self, slope: Tensor, counts: Tensor) -> Tensor:
        """The slope of what `spread` gives in each edge, from the slope in its result; cells of folded axes as one."""
        if self.linear:
            return torch.matmul(slope.reshape(-1, slope.shape[-1]).T, counts.reshape(-1, counts.shape[-1]))
        like = counts.new_empty(()).expand(self.shape)
        return self._convolution_slopes(slope, counts, like, inputs=False)

    def dot(self, counts: Tensor, slope: Tensor) -> Tensor:
        """Sums of products of two values an element over all but the channel axis."""
        if self.linear:
            return (counts * slope).reshape(-1, counts.shape[-1]).sum(0)
        if counts.numel() == counts.shape[1]:
            return (counts * slope).flatten()
        return torch.einsum("nc...,nc...->c", counts, slope)

    def is_matrix(self, counts: Tensor) -> bool:
        """A single vector of channels arrives, so that a layer is no more than a matrix."""
        return self.groups == 1 and not self.transposed and counts.numel() == self.inputs and self._pointwise

    @property
    def _pointwise(self) -> bool:
        return self.linear or len(self.parallel) == len(self.shape) - 2

    def _as_activation(self, vector: Tensor, like: Tensor) -> Tensor:
        sizes = [1] * like.ndim
        sizes[self.axis] = -1
        return vector.reshape(sizes)

    def _convolve(self, counts: Tensor, edges: Tensor, groups: int) -> Tensor:
        return torch.convolution(
            counts, edges, None, self.stride, self.padding, self.dilation, self.transposed, self.output_padding, groups
        )

    def _convolution_slopes(self, slope: Tensor, counts: Tensor, edges: Tensor, *, inputs: bool) -> Tensor:
        options = (self.stride, self.padding, self.dilation, self.transposed, self.output_padding, self.groups)
        found = torch.ops.aten.convolution_backward(
            slope.contiguous(), counts, edges, None, *options, (inputs, not inputs, False)
        )
        made: Tensor = found[0] if inputs else found[1]
        return made

    # through all edges: the channels of a group do not differ, so one stands for all

    def _of_groups(self, values: Tensor) -> Tensor:
        if self.linear:
            return values.sum(-1, keepdim=True)
        return values.reshape(len(values), self.groups, -1, *values.shape[2:]).sum(2)

    def _spread_one(self, grouped: Tensor, cells: Tensor | None = None) -> Tensor:
        if self.linear:
            return grouped if cells is None else grouped * cells
        if cells is None:
            kernel = grouped.new_full(self.shape[2:], self.multiplicity)
        else:
            kernel = cells.sum([axis - 2 for axis in self.parallel], keepdim=True) if self.parallel else cells
        return self._convolve(grouped, kernel.expand(self.groups, 1, *kernel.shape), self.groups)

    def _to_outputs(self, grouped: Tensor) -> Tensor:
        return self._to_channels(grouped, self.outputs)

    def _to_inputs(self, grouped: Tensor) -> Tensor:
        return self._to_channels(grouped, self.inputs)

    def _to_channels(self, grouped: Tensor, channels: int) -> Tensor:
        if self.linear:
            return grouped.expand(*grouped.shape[:-1], channels)
        each = channels // self.groups
        return grouped.unsqueeze(2).expand(-1, -1, each, *grouped.shape[2:]).flatten(1, 2)


@lru_cache(maxsize=4096)
def _output_shape(geometry: Geometry, shape: tuple[int, ...]) -> torch.Size:
    options = zip(
        geometry.shape[2:], geometry.stride, geometry.padding, geometry.dilation, geometry.output_padding, strict=True
    )
    sides = []
    for size, (kernel, stride, padding, dilation, extra) in zip(shape[2:], options, strict=True):
        reach = dilation * (kernel - 1)
        if geometry.transposed:
            sides.append((size - 1) * stride - 2 * padding + reach + extra + 1)
        else:
            sides.append((size + 2 * padding - reach - 1) // stride + 1)
    return torch.Size([shape[0], geometry.outputs, *sides])


@lru_cache(maxsize=4096)
def _folded(geometry: Geometry, folded: tuple[bool, ...]) -> Geometry:
    def on_real_axes(values: tuple[int, ...], trivial: int) -> tuple[int, ...]:
        return tuple(trivial if fold else value for value, fold in zip(values, folded[2:], strict=True))

    return replace(
        geometry,
        shape=(*geometry.shape[:2], *on_real_axes(geometry.shape[2:], 1)),
        stride=on_real_axes(geometry.stride, 1),
        padding=on_real_axes(geometry.padding, 0),
        dilation=on_real_axes(geometry.dilation, 1),
        output_padding=on_real_axes(geometry.output_padding, 0),
        parallel=tuple(axis for axis, fold in enumerate(folded) if axis >= 2 and fold),
        multiplicity=math.prod(size for size, fold in zip(geometry.shape[2:], folded[2:], strict=True) if fold),
    )


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """A matrix of any type times a vector, read in pieces: no copy of it in floating point is ever made."""
    parts = [torch.mv(converted(piece, vector.dtype), vector) for piece in _pieces(matrix)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _transposed_times(matrix: Tensor, vector: Tensor) -> Tensor:
    """The transpose of a matrix of any type times a vector, read in pieces."""
    pieces = _pieces(matrix)
    if len(pieces) == 1:
        return torch.mv(converted(matrix, vector.dtype).T, vector)
    total = vector.new_zeros(matrix.shape[1])
    for piece, part in zip(pieces, torch.split(vector, [len(piece) for piece in pieces]), strict=True):
        total.addmv_(converted(piece, vector.dtype).T, part)
    return total


def _pieces(matrix: Tensor) -> Sequence[Tensor]:
    return (matrix,) if matrix.numel() <= _PIECE else torch.split(matrix, max(1, _PIECE // matrix.shape[1]))
