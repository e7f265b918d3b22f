"""Where a forward pass uses a weight."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from nodepath.paths.geometry import Geometry

__all__ = ["Made", "Note", "Part", "Passing", "Site", "Weigh", "dense", "given"]

Part = tuple[str, int]
"""A layer's parameter name and the first of its rows that one use reads: 0 but for the parts of a packed projection."""


@dataclass(frozen=True)
class Site:
    """One use of a weight, or of some of its rows, by a forward pass.

    Attributes:
        name: The weight's parameter name, or None for a fixed filter or a weight tied to an embedding.
        weight: The model's own tensor; of the packed in-projection of attention, the rows that are used here.
        first_row: The first row of the parameter that is used here.
        geometry: How the weight connects inputs and outputs.
        positions: At how many places each weight is used: output positions, or input positions if transposed.
        reads: What its input channels are in the network's inputs, if no prunable layer lies between: pairs of a
            source's number and the axis of that source, None where each unit is a channel. Empty otherwise.
    """

    name: str | None
    weight: Tensor
    first_row: int
    geometry: Geometry
    positions: int
    reads: tuple[tuple[int, int | None], ...]

    @property
    def rows(self) -> slice:
        """Which rows of the parameter are used here."""
        return slice(self.first_row, self.first_row + self.weight.shape[0])

    @property
    def row_range(self) -> range:
        """The same as numbers."""
        return range(self.first_row, self.first_row + self.weight.shape[0])


class Weigh(Protocol):
    """Gives the edges of a layer when the signal reaches it."""

    def __call__(self, site: Site, counts: Tensor, spread: Callable[[Tensor | None], Tensor]) -> "Tensor | Made | None":
        """Edges of the shape of the site's weight; None: all; `Made`: what leaves the layer, whatever its edges.

        Args:
            site: Where.
            counts: The mantissas that arrive.
            spread: Applies edges to `counts`; None: all.
        """


@dataclass(frozen=True, slots=True)
class Made:
    """What leaves a layer, computed by who was asked for its edges.

    Attributes:
        counts: Mantissas with the exponent of what arrived, of the axes of the layer's output; length 1 where folded.
    """

    counts: Tensor


@dataclass(frozen=True, slots=True)
class Passing:
    """What passes a layer in both directions.

    Attributes:
        site: Where.
        geometry: The site's, on the axes that counts have.
        edges: Of the shape of the site's weight; None: all.
        counts: What arrives.
        made: What leaves.
        slope: Of the sum of the outputs, in each element of `made`.
        pulled: The same in each of the counts.
    """

    site: Site
    geometry: Geometry
    edges: Tensor | None
    counts: Tensor
    made: Tensor
    slope: Tensor
    pulled: Tensor


class Note(Protocol):
    """Takes down what passes the layers of the model, when the slopes come back."""

    def __call__(self, name: str, passing: Passing) -> None:
        """Take something down.

        Args:
            name: Of the layer's parameter.
            passing: What passes it.
        """


def dense(site: Site, counts: Tensor, spread: Callable[[Tensor | None], Tensor]) -> Tensor | None:
    """Every weight is an edge; of a fixed filter, those that are not zero."""
    del spread
    if site.name is None and not isinstance(site.weight, nn.Parameter):
        return (site.weight.detach() != 0).to(counts.device, torch.bool)
    return None


def given(edges: Mapping[str, Tensor]) -> Weigh:
    """Edges by parameter name; what is absent is dense."""

    def weigh(site: Site, counts: Tensor, spread: Callable[[Tensor | None], Tensor]) -> Tensor | None:
        if site.name is not None and site.name in edges:
            own = edges[site.name]
            return (own if len(own) == len(site.weight) else own[site.rows]).to(counts.device)
        return dense(site, counts, spread)

    return weigh
