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
        slope: Reachability from behind the layer.
    """
    reached, wanted = counts > 0.5, slope > 0.5
    if geometry.groups > 1 or geometry.transposed:
        return geometry.touch(wanted.to(counts), reached.to(counts)) > 0.5
    if geometry.linear:
        reached, wanted = reached.reshape(-1, geometry.inputs), wanted.reshape(-1, geometry.outputs)
        reached_all, wanted_all = reached.all(0), wanted.all(0)
        reached_any, wanted_any = reached.any(0), wanted.any(0)
        live = torch.outer(wanted_any, reached_all)
        if not bool(torch.equal(reached_all, reached_any)):
            live |= torch.outer(wanted_all, reached_any)
    else:
        reached_all, wanted_all = _over_pixels(reached, torch.all), _over_pixels(wanted, torch.all)
        reached_any, wanted_any = _over_pixels(reached, torch.any), _over_pixels(wanted, torch.any)
        kernel = geometry.shape[2:]
        from_all = replace(geometry, shape=(geometry.outputs, 1, *kernel))
        to_all = replace(geometry, shape=(1, geometry.inputs, *kernel))
        cells = from_all.touch(wanted.to(counts), counts.new_ones(counts.shape[0], 1, *counts.shape[2:])) > 0.5
        live = cells & reached_all.reshape(1, -1, *[1] * len(kernel))
        if not bool(torch.equal(reached_all, reached_any)):
            cells = to_all.touch(slope.new_ones(slope.shape[0], 1, *slope.shape[2:]), reached.to(counts)) > 0.5
            live |= cells & wanted_all.reshape(-1, 1, *[1] * len(kernel))
    sources = (reached_any & ~reached_all).nonzero().flatten()
    ends = (wanted_any & ~wanted_all).nonzero().flatten()
    if len(sources) and len(ends):
        axis = geometry.axis
        part = replace(geometry, shape=(len(ends), len(sources), *geometry.shape[2:]))
        touched = part.touch(wanted.index_select(axis, ends).to(counts), reached.index_select(axis, sources).to(counts))
        live[ends.unsqueeze(1), sources] |= touched > 0.5
    return live


def _over_pixels(values: Tensor, reduce: object) -> Tensor:
    """(batch, channels, ...) -> (channels)."""
    flat = values.transpose(0, 1).flatten(1)
    return flat.all(1) if reduce is torch.all else flat.any(1)
