"""Which weights of a layer lie on a path: reached before, wanted after, at a common position."""

from dataclasses import replace

import torch
from torch import Tensor

from nodepath.paths.geometry import Geometry

__all__ = ["live_edges"]


def live_edges(geometry: Geometry, counts: Tensor, slope: Tensor) -> Tensor:
    """Edges that would lie on a path if they were kept, of the shape of `geometry` (cells of folded axes as one).

    A channel that is reached everywhere needs no look at its pixels, nor does one that is wanted everywhere: only
    between two channels that are neither must all pairs of pixels be compared.

    Args:
        geometry: Of the layer, on the axes that counts have.
        counts: Reachability before the layer, 0 or 1.
        slope: Reachability from behind the layer, 0 or 1.

    Cost: a few passes over the activations, and over the weights one.
    """
    if geometry.groups > 1 or geometry.transposed:
        return geometry.touch(slope, counts) > 0.5
    some_reached, all_reached = _some_and_all(geometry.by_channel(counts), counts)
    some_wanted, all_wanted = _some_and_all(geometry.by_channel(slope), slope)
    everywhere = torch.equal(some_reached, all_reached)
    cells = [1] * (len(geometry.shape) - 2)
    if geometry.linear:
        live = torch.outer(some_wanted, all_reached)
        if not everywhere:
            live |= torch.outer(all_wanted, some_reached)
    else:
        before = replace(geometry, shape=(geometry.outputs, 1, *geometry.shape[2:]))
        touched = before.touch(slope, counts.new_ones(len(counts), 1, *counts.shape[2:])) > 0.5
        live = touched & all_reached.reshape(1, -1, *cells)
        if not everywhere:
            behind = replace(geometry, shape=(1, geometry.inputs, *geometry.shape[2:]))
            touched = behind.touch(slope.new_ones(len(slope), 1, *slope.shape[2:]), counts) > 0.5
            live |= touched & all_wanted.reshape(-1, 1, *cells)
    sources = (some_reached & ~all_reached).nonzero().flatten()
    ends = (some_wanted & ~all_wanted).nonzero().flatten()
    if len(sources) and len(ends):
        axis = geometry.axis
        part = replace(geometry, shape=(len(ends), len(sources), *geometry.shape[2:]))
        touched = part.touch(slope.index_select(axis, ends), counts.index_select(axis, sources))
        live[ends.unsqueeze(1), sources] |= touched > 0.5
    return live


def _some_and_all(sums: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Which channels are 1 somewhere, and which everywhere, from how often each is."""
    return sums > 0.5, sums > values.numel() / len(sums) - 0.5
