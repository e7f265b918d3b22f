"""What reaches a layer, and what each cell of its kernels would pass on."""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from nodepath.paths.geometry import Geometry
from nodepath.paths.site import Site

__all__ = ["Arrived", "arrived"]

_BY_AXIS = ("stride", "padding", "dilation", "output_padding")
_BITS = 40
"""Binary digits of a count that decide: the last of 53 change with the order of a sum, so with the threads."""


@dataclass(frozen=True)
class Arrived:
    """What reaches a layer, by group; on the CPU.

    Attributes:
        paths: Of each input, how many (groups, inputs); 0 where no cell would pass any on.
        cells: Of each input, how many each cell would pass on to one output (groups, inputs, cells).
    """

    paths: Tensor
    cells: Tensor

    @property
    def room(self) -> Tensor:
        """How many cells of a kernel would pass on any (groups, inputs)."""
        return (self.cells > 0).sum(dim=2)


def arrived(site: Site, counts: Tensor, *, folds: bool) -> Arrived:
    """Read a layer's input.

    A cell reads, along each axis, the positions that its distance from the output's leaves within the map; so sums over
    them are products of the counts with one small matrix an axis.

    Args:
        site: Where.
        counts: Mantissas that arrive.
        folds: Spatial axes of length 1 stand for all positions along them, where cells are parallel edges.
    """
    geometry = site.geometry
    groups = geometry.groups
    if geometry.linear:
        paths = _rounded(counts.reshape(-1, counts.shape[-1]).sum(0)).reshape(1, -1)
        return Arrived(paths, paths.unsqueeze(2))
    by_channel = counts.sum(0)
    paths = by_channel.flatten(1).sum(1)
    cells = by_channel
    for axis, length in enumerate(counts.shape[2:]):
        folded = folds and length == 1
        read = _positions_read(geometry, axis, length, folded=folded).to(counts.device, counts.dtype)
        cells = torch.tensordot(cells, read, dims=([1], [1]))  # the axis moves to the end, as the kernel's
    cells = _rounded(cells.reshape(groups, geometry.inputs // groups, -1))
    paths = _rounded(paths).reshape(groups, -1)
    return Arrived(paths.where((cells > 0).any(dim=2), 0.0), cells)


@lru_cache(maxsize=1024)
def _positions_read(geometry: Geometry, axis: int, length: int, *, folded: bool) -> Tensor:
    """Whether the cell of a kernel reads the position of the input for any output (cells, positions), along an axis."""
    size = geometry.shape[2 + axis]
    if folded:
        return torch.ones(size, 1, dtype=torch.bool)
    along = replace(
        geometry,
        shape=(*geometry.shape[:2], size),
        **{name: getattr(geometry, name)[axis : axis + 1] for name in _BY_AXIS},
    )
    (stride,), (padding,), (dilation,) = along.stride, along.padding, along.dilation
    outputs = along.output_shape((1, geometry.inputs, length))[2]
    cells, positions = torch.arange(size).unsqueeze(1), torch.arange(length).unsqueeze(0)
    if geometry.transposed:
        place = positions * stride + cells * dilation - padding
        return (place >= 0) & (place < outputs)
    place = positions + padding - cells * dilation
    return (place >= 0) & (place % stride == 0) & (place // stride < outputs)


def _rounded(values: Tensor) -> Tensor:
    """To so many digits that the order of a sum makes no difference."""
    mantissa, exponent = torch.frexp(values.cpu().double())
    return torch.ldexp((mantissa * 2**_BITS).round() / 2**_BITS, exponent)
