"""The weights of all layers side by side in one piece of memory, without the channels through which nothing flows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from nodepath.paths.layer import Layer

__all__ = ["Block", "Edges"]


@dataclass(frozen=True)
class Block:
    """A layer's part of the memory.

    Attributes:
        layer: Whose.
        start: Of its first weight.
        rows: Which of the layer's output channels are there; None: all. Only a layer of one group can lack some.
        columns: Which of its input channels.
        exponent: Weights are `held * 2**exponent`.
    """

    layer: Layer
    start: int
    rows: Tensor | None
    columns: Tensor | None
    exponent: int

    @cached_property
    def shape(self) -> tuple[int, int, int, int]:
        """(groups, outputs of a group, cells, inputs of a group)."""
        layer = self.layer
        rows = layer.outputs // layer.groups if self.rows is None else len(self.rows)
        columns = layer.inputs // layer.groups if self.columns is None else len(self.columns)
        return layer.groups, rows, layer.cells, columns

    @cached_property
    def size(self) -> int:
        """Number of weights held."""
        return math.prod(self.shape)

    def view(self, memory: Tensor) -> Tensor:
        """Its part of memory, of its shape."""
        return memory[self.start : self.start + self.size].view(self.shape)

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
            values: Of the shape of the block; zeros for those that are not held.
        """
        layer = self.layer
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

    def positions(self, places: Tensor) -> Tensor:
        """Where weights are in the parameter, row by row.

        Args:
            places: In the block.
        """
        layer = self.layer
        _, rows, cells, columns = self.shape
        inputs, outputs = layer.inputs // layer.groups, layer.outputs // layer.groups
        column, rest = places % columns, places // columns
        cell, rest = rest % cells, rest // cells
        row, group = rest % rows, rest // rows
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

    def __init__(self, blocks: Mapping[str, Block], held: Tensor) -> None:
        self.blocks = dict(blocks)
        self.held = held
        self.shares = torch.zeros_like(held)

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

    def without(self, dead_rows: Mapping[str, Tensor], dead_columns: Mapping[str, Tensor]) -> "Edges":
        """Without some channels.

        Args:
            dead_rows: Parameter name -> of the rows held, which go, bool; those of absent layers stay.
            dead_columns: The same of columns.
        """
        parts, blocks, start = [], {}, 0
        for name, block in self.blocks.items():
            part = block.view(self.held)
            rows, columns = (_left(dead.get(name)) for dead in (dead_rows, dead_columns))
            part = part if rows is None else part.index_select(1, rows)
            part = part if columns is None else part.index_select(3, columns)
            blocks[name] = replace(
                block, start=start, rows=_chosen(block.rows, rows), columns=_chosen(block.columns, columns)
            )
            parts.append(part.reshape(-1))
            start += part.numel()
        self.shares = self.shares.new_empty(0)  # as large as what is made next
        return Edges(blocks, torch.cat([self.held[:0], *parts]))

    def segments(self) -> Iterator[tuple[str, slice]]:
        """Parameter name and part of the memory."""
        for name, block in self.blocks.items():
            yield name, slice(block.start, block.start + block.size)


def _left(dead: Tensor | None) -> Tensor | None:
    return None if dead is None or not bool(dead.any()) else (~dead).nonzero().flatten()


def _chosen(before: Tensor | None, places: Tensor | None) -> Tensor | None:
    if places is None or before is None:
        return before if places is None else places
    return before.to(places.device)[places]
