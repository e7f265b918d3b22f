"""Which weights of a layer lie on a path: reached before, wanted after, at a common position."""

from dataclasses import replace

import torch
from torch import Tensor

from nodepath.paths.conversion import as_numbers
from nodepath.paths.geometry import Geometry
from nodepath.paths.site import Passing

__all__ = ["live_edges"]


def live_edges(passing: Passing, edges: Tensor | None) -> Tensor:
    """Edges that lie on a path.

    A channel that is reached everywhere needs no look at its pixels, nor does one that is wanted everywhere: only
    between two channels that are neither must all pairs of pixels be compared.

    Args:
        passing: Positive counts where the layer's input is reached, and slopes where its output is wanted.
        edges: Which there are, bool; None: all.

    Returns:
        Bool, of the shape of `edges`, or `edges` itself if all live; of that of the geometry (cells of folded axes as
        one) if all are asked for.

    Cost: two reductions over the activations, and one pass over the edges.
    """
    geometry, counts, slope = passing.geometry, passing.counts, passing.slope
    if geometry.groups > 1 or geometry.transposed:
        return _kept(geometry.touch(_positive(slope), _positive(counts)) > 0.5, edges)
    if geometry.is_matrix(counts):
        one = torch.ones([1] * len(geometry.shape), dtype=torch.bool, device=counts.device)
        return _between(one, slope.flatten() > 0, counts.flatten() > 0, edges)
    some_reached, all_reached = _some_and_all(counts, geometry.axis)
    some_wanted, all_wanted = _some_and_all(slope, geometry.axis)
    sources = (some_reached & ~all_reached).nonzero().flatten()
    ends = (some_wanted & ~all_wanted).nonzero().flatten()
    one_input, one_output = (values.narrow(geometry.axis, 0, 1) for values in (counts, slope))
    cells = _touched(geometry, torch.ones_like(one_output), torch.ones_like(one_input))
    if not len(sources) and not len(ends):
        return _between(cells, all_wanted, all_reached, edges)
    live = cells & _column(all_wanted, cells) & _row(all_reached, cells)
    if len(ends):
        wanted = _touched(geometry, slope.index_select(geometry.axis, ends), torch.ones_like(one_input))
        live[ends] |= wanted & _row(all_reached, cells)
    if len(sources):
        reached = _touched(geometry, torch.ones_like(one_output), counts.index_select(geometry.axis, sources))
        live[:, sources] |= reached & _column(all_wanted, cells)
    if len(sources) and len(ends):
        parts = (values.index_select(geometry.axis, some) for values, some in ((slope, ends), (counts, sources)))
        live[ends.unsqueeze(1), sources] |= _touched(geometry, *parts)
    return _kept(live, edges)


def _touched(geometry: Geometry, slope: Tensor, counts: Tensor) -> Tensor:
    """Which cells connect any of the pixels between some outputs and some inputs."""
    shape = slope.shape[geometry.axis], counts.shape[geometry.axis], *geometry.shape[2:]
    return replace(geometry, shape=shape).touch(_positive(slope), _positive(counts)) > 0.5


def _between(cells: Tensor, wanted: Tensor, reached: Tensor, edges: Tensor | None) -> Tensor:
    """Edges of the cells between all wanted outputs and all reached inputs."""
    if edges is None or not bool(cells.all()):
        return _kept(cells & _column(wanted, cells) & _row(reached, cells), edges)
    live = edges.flatten(1)
    if not bool(reached.all()):
        live = live & reached.repeat_interleave(live.shape[1] // len(reached))
    if not bool(wanted.all()):
        # bytes are multiplied by vectors, bools are not
        live = (live.view(torch.uint8) * wanted.view(torch.uint8).unsqueeze(1)).view(torch.bool)
    return live.reshape(edges.shape)


def _kept(live: Tensor, edges: Tensor | None) -> Tensor:
    return live if edges is None else live & edges


def _some_and_all(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Which channels are positive somewhere, and which everywhere."""
    others = [other for other in range(values.ndim) if other != axis % values.ndim]
    return values.amax(others) > 0, values.amin(others) > 0


def _positive(values: Tensor) -> Tensor:
    return as_numbers(values > 0, torch.float32)


def _column(channels: Tensor, cells: Tensor) -> Tensor:
    return channels.reshape(-1, *[1] * (cells.ndim - 1))


def _row(channels: Tensor, cells: Tensor) -> Tensor:
    return channels.reshape(1, -1, *[1] * (cells.ndim - 2))
