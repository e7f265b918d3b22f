"""The weights of all layers side by side in one piece of memory, without the channels through which nothing flows."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodepath.paths.layer import Layer

__all__ = ["Block", "Edges", "Listing"]


@dataclass(frozen=True)
class Listing:
    """Which weights of a matrix are there, row by row; on the CPU.

    Attributes:
        lengths: How many each row has (rows,).
        columns: Where in its row each of them is (weights,).
        width: Number of columns.
    """

    lengths: NDArray[np.int64]
    columns: NDArray[np.int32]
    width: int

    @classmethod
    def full(cls, rows: int, width: int) -> "Listing":
        """All of a matrix."""
        return cls(np.full(rows, width), np.tile(np.arange(width, dtype=np.int32), rows), width)

    def places(self) -> NDArray[np.int64]:
        """Where in the matrix they are."""
        starts = np.arange(len(self.lengths)) * self.width
        return np.repeat(starts, self.lengths) + self.columns

    def places_of(self, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the matrix some of them are."""
        rows = np.searchsorted(np.cumsum(self.lengths), which, side="right")
        return rows * self.width + self.columns[which]

    def among(self, which: NDArray[np.int64]) -> "Listing":
        """Some of them.

        Args:
            which: Their numbers, in order.
        """
        ends = np.searchsorted(which, np.cumsum(self.lengths))
        return Listing(np.diff(ends, prepend=0), self.columns.take(which), self.width)

    def without(self, rows: NDArray[np.int64] | None, columns: NDArray[np.int64] | None) -> "Listing":
        """Of a matrix that lacks some rows and columns, which hold none of them.

        Args:
            rows: Which stay; None: all.
            columns: The same.
        """
        lengths = self.lengths if rows is None else self.lengths[rows]
        if columns is None:
            return Listing(lengths, self.columns, self.width)
        numbers = np.zeros(self.width, dtype=np.int32)
        numbers[columns] = np.arange(len(columns))
        return Listing(lengths, numbers[self.columns], len(columns))


@dataclass(frozen=True)
class Block:
    """A layer's part of the memory.

    Attributes:
        layer: Whose.
        start: Of its first weight.
        rows: Which of the layer's output channels are there; None: all. Only a layer of one group can lack some.
        columns: Which of its input channels.
        exponent: Weights are `held * 2**exponent`.
        listing: Which of the weights between those channels are there, of a layer of one group; None: all.
    """

    layer: Layer
    start: int
    rows: Tensor | None
    columns: Tensor | None
    exponent: int
    listing: Listing | None = None

    @cached_property
    def shape(self) -> tuple[int, int, int, int]:
        """(groups, outputs of a group, cells, inputs of a group), whether or not all their weights are there."""
        layer = self.layer
        rows = layer.outputs // layer.groups if self.rows is None else len(self.rows)
        columns = layer.inputs // layer.groups if self.columns is None else len(self.columns)
        return layer.groups, rows, layer.cells, columns

    @cached_property
    def size(self) -> int:
        """Number of weights held."""
        return math.prod(self.shape) if self.listing is None else len(self.listing.columns)

    def view(self, memory: Tensor) -> Tensor:
        """Its part of memory, of its shape; or a list."""
        part = memory[self.start : self.start + self.size]
        return part.view(self.shape) if self.listing is None else part

    def cut(self, values: Tensor) -> Tensor:
        """One value a weight of the layer, as held here.

        Args:
            values: Of the parameter's shape.
        """
        held = self.layer.kernels(values).transpose(2, 3)
        held = held if self.rows is None else held.index_select(1, self.rows.to(values.device))
        return held if self.columns is None else held.index_select(3, self.columns.to(values.device))

    def filled(self, values: Tensor) -> Tensor:
        """One value a weight of the layer, of the parameter's shape, from those held here.

        Args:
            values: Of the shape of the block, or a list, or flat; zeros for those that are not held.
        """
        layer = self.layer
        if self.listing is not None:
            listed, values = values, values.new_zeros(math.prod(self.shape))
            values[torch.from_numpy(self.listing.places())] = listed
        values = values.reshape(self.shape)
        groups, outputs, cells, inputs = layer.groups, layer.outputs, layer.cells, layer.inputs
        if self.rows is None and self.columns is None:
            return layer.weights(values.transpose(2, 3)).contiguous()
        whole = values.new_zeros((outputs // groups, cells, inputs // groups))
        rows = torch.arange(outputs) if self.rows is None else self.rows
        columns = torch.arange(inputs) if self.columns is None else self.columns
        part = whole.new_zeros((len(rows), cells, inputs // groups))
        part.index_copy_(2, columns.to(whole.device), values[0])
        whole.index_copy_(0, rows.to(whole.device), part)
        return layer.weights(whole.unsqueeze(0).transpose(2, 3)).contiguous()

    def coordinates(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Group, output, cell and input of weights, of those that are held.

        Args:
            places: In the block.
        """
        _, rows, cells, columns = self.shape
        if self.listing is not None:
            places = torch.from_numpy(self.listing.places_of(places.numpy()))
        rest, cell = places // columns, places // columns % cells
        row = rest // cells
        return row // rows, row % rows, cell, places % columns

    def positions(self, places: Tensor) -> Tensor:
        """Where weights are in the parameter, row by row.

        Args:
            places: In the block.
        """
        layer = self.layer
        cells, inputs, outputs = layer.cells, layer.inputs // layer.groups, layer.outputs // layer.groups
        group, row, cell, column = self.coordinates(places)
        row = row if self.rows is None else self.rows.to(places.device)[row]
        column = column if self.columns is None else self.columns.to(places.device)[column]
        if layer.transposed:
            return ((group * inputs + column) * outputs + row) * cells + cell
        return ((group * outputs + row) * inputs + column) * cells + cell


class Edges:
    """Magnitudes of weights and their shares of all paths.

    Attributes:
        blocks: Parameter name -> its part, in order.
        held: Mantissas of the weights (weights,).
        shares: Of all paths, through each weight (weights,), filled by a sweep.
    """

    def __init__(self, blocks: Mapping[str, Block], held: Tensor, shares: Tensor | None = None) -> None:
        self.blocks = dict(blocks)
        self.held = held
        self.shares = torch.zeros_like(held) if shares is None else shares

    @classmethod
    def of(cls, layers: Sequence[Layer], weights: Mapping[str, Tensor], dtype: torch.dtype) -> "Edges":
        """All weights of some layers.

        Args:
            layers: Which.
            weights: Parameter name -> weight; of which the magnitudes are taken.
            dtype: Of the mantissas.
        """
        device = next(iter(weights.values())).device if weights else torch.device("cpu")
        held = torch.empty(sum(layer.size for layer in layers), dtype=dtype, device=device)
        blocks, start = {}, 0
        for layer in layers:
            weight = weights[layer.name].abs()
            largest = weight.amax().item()
            exponent = math.frexp(largest)[1] if largest > 0 else 0
            if not -32 <= exponent <= 32:
                weight = weight.double() * 2.0**-exponent
            else:
                exponent = 0
            blocks[layer.name] = block = Block(layer, start, None, None, exponent)
            block.view(held).copy_(block.cut(weight))
            start += layer.size
        return cls(blocks, held)

    def without(
        self, dead_rows: Mapping[str, Tensor], dead_columns: Mapping[str, Tensor], listed: Collection[str] = ()
    ) -> "Edges":
        """Without some channels, and of some layers, once and for all, without the weights that are zero.

        In the same memory: these edges are no longer to be used.

        Args:
            dead_rows: Parameter name -> of the rows held, which go, bool; those of absent layers stay.
            dead_columns: The same of columns.
            listed: Names of layers that become lists, or shorter ones; what is a list already stays one.
        """
        blocks, start = {}, 0
        for name, block in self.blocks.items():
            left = tuple(_left(dead.get(name)) for dead in (dead_rows, dead_columns))
            made = replace(block, rows=_chosen(block.rows, left[0]), columns=_chosen(block.columns, left[1]))
            part = unchanged = block.view(self.held)
            if name in listed or (block.listing is not None and any(chosen is not None for chosen in left)):
                listing, part = _listed(block, part, *left)
                made = replace(made, listing=listing)
            else:
                for axis, chosen in zip((1, 3), left, strict=True):
                    part = part if chosen is None else part.index_select(axis, chosen)
            blocks[name] = replace(made, start=start)
            if part is not unchanged or start != block.start:
                # to where it or what has been read before was
                self.held[start : start + part.numel()] = (part.clone() if part is unchanged else part).reshape(-1)
            start += part.numel()
        return Edges(blocks, self.held[:start], self.shares[:start].zero_())

    def segments(self) -> Iterator[tuple[str, slice]]:
        """Parameter name and part of the memory."""
        for name, block in self.blocks.items():
            yield name, slice(block.start, block.start + block.size)


def _listed(block: Block, held: Tensor, rows: Tensor | None, columns: Tensor | None) -> tuple[Listing, Tensor]:
    """The weights that are not zero; there are none in a row or column that goes."""
    _, outputs, cells, inputs = block.shape
    numbers = held.numpy().reshape(-1)
    there = (numbers > 0).nonzero()[0]
    listing = (block.listing or Listing.full(outputs, cells * inputs)).among(there)
    if columns is not None:
        columns = (torch.arange(cells).unsqueeze(1) * inputs + columns).flatten()
    left = (None if chosen is None else chosen.numpy() for chosen in (rows, columns))
    return listing.without(*left), torch.from_numpy(numbers.take(there))


def _left(dead: Tensor | None) -> Tensor | None:
    return None if dead is None or not bool(dead.any()) else (~dead).nonzero().flatten()


def _chosen(before: Tensor | None, places: Tensor | None) -> Tensor | None:
    if places is None or before is None:
        return before if places is None else places
    return before.to(places.device)[places]
