"""Send counts through a layer; on the way back, take down what passed."""

from typing import Any

import torch
from torch import Tensor

from nodepath.paths.geometry import Geometry
from nodepath.paths.site import Note, Passing, Site

__all__ = ["through"]


class _Passage(torch.autograd.Function):
    """The layer's edges are no leaves of the graph: a note says what is kept of them, often a bit each."""

    @staticmethod
    def forward(ctx: Any, counts: Tensor, edges: Tensor | None, geometry: Geometry, site: Site, note: Note) -> Tensor:
        compact = None if edges is None else geometry.compact(edges)
        made = geometry.spread(counts, compact)
        ctx.save_for_backward(counts, edges, compact, made)
        ctx.geometry, ctx.site, ctx.note = geometry, site, note
        return made

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None, None]:
        counts, edges, compact, made = ctx.saved_tensors
        pulled = ctx.geometry.pull(slopes[0], compact, counts)
        if ctx.site.name is not None:
            ctx.note(ctx.site.name, Passing(ctx.site, ctx.geometry, edges, counts, made, slopes[0], pulled))
        return pulled, None, None, None, None


def through(counts: Tensor, edges: Tensor | None, geometry: Geometry, site: Site, note: Note | None) -> Tensor:
    """What leaves a layer.

    Args:
        counts: What arrives.
        edges: Of the shape of the site's weight, bool or >= 0; None: all.
        geometry: The site's, on the axes that counts have.
        site: Where.
        note: Takes down what passes, if slopes are asked for.
    """
    if note is None or not (counts.requires_grad and torch.is_grad_enabled()):
        return geometry.spread(counts, edges)
    made: Tensor = _Passage.apply(counts, edges, geometry, site, note)
    return made
