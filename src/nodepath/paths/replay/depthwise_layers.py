"""What layers do that have one kernel for each channel: a product of numbers for each of its cells."""

from collections.abc import Iterator

import torch
from torch import Tensor

from nodepath.paths.replay.dense_layers import DenseLayer
from nodepath.paths.replay.ends import Ends, Move, SlopesAt

__all__ = ["by_channel"]

_AT_ONCE = 1 << 18
"""So many numbers are read at once: they stay in the caches until they are used."""


def by_channel(ends: Ends, layer: DenseLayer) -> tuple[Move, Move, SlopesAt]:
    """A number of each cell for each channel, which reads itself; what all cells read is never there at once."""
    (padded, padded_slope), (made, back) = ends.padded[0], ends.made
    channels, cells, places = layer.matrix.shape[0], layer.matrix.shape[2], len(made)
    own = torch.arange(places, device=made.device) if layer.index is None else layer.index
    reads = own.view(places, cells).t().contiguous()
    size, adds, factors = max(1, _AT_ONCE // max(1, channels)), ends.adds[0], ends.factors
    ones = made.new_ones(min(size, places))

    def kernels() -> Tensor:
        return (layer.edges().view(channels, cells).t() * factors[0]).contiguous()

    def parts() -> Iterator[slice]:
        return (slice(start, start + size) for start in range(0, places, size))

    def forward() -> None:
        kernel = kernels()
        for part in parts():
            made[part].zero_()
            for cell in range(cells):
                made[part].addcmul_(padded.index_select(0, reads[cell, part]), kernel[cell])

    def backward() -> None:
        kernel, taken = kernels(), made.new_zeros(cells, channels)
        if not adds:
            padded_slope.zero_()
        for part in parts():
            coming = back[part]
            for cell in range(cells):
                places_read = reads[cell, part]
                if layer.touch is not None:
                    through = padded.index_select(0, places_read).mul_(coming)
                    taken[cell].addmv_(through.t(), ones[: len(through)], alpha=factors[0])
                padded_slope.index_add_(0, places_read, coming * kernel[cell])
        if layer.touch is not None:
            layer.take_down(taken.t())

    def slopes_at(which: Tensor, _: Tensor, columns: Tensor) -> Tensor:
        return (back[:, which] * padded[reads[columns].t(), which]).sum(0) * factors[0]

    return forward, backward, slopes_at
