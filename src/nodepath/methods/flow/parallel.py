"""Weights that lie between the same two channels are one edge: their sum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodepath.methods.flow.threshold import Places
from nodepath.methods.flow.weights import in_order
from nodepath.methods.problem import Problem
from nodepath.paths.replay.edges import Block, Edges
from nodepath.paths.replay.parallel import parallel_layers, with_one_cell, without_cells
from nodepath.paths.replay.steps import Course
from nodepath.paths.replay.sweep import Sweep

__all__ = ["Parallel"]

_MOST = 1 << 20
"""So many weights, of which lists in float64 stay in the caches; of more, half as many bytes each are sooner read."""

_SEVERAL = 4
"""So many weights a kernel, on average, are worth it."""

_FEWER = 0.7
"""If so few of the weights are left, the others are left out."""


@dataclass(frozen=True)
class _Listed:
    """Some weights of a layer.

    Attributes:
        block: All of them.
        positions: Where they are in the block.
    """

    block: Block
    positions: Tensor

    def filled(self, values: Tensor) -> Tensor:
        """See `Placed`."""
        whole = values.new_zeros(self.block.size)
        whole[self.positions] = values
        return self.block.filled(whole)


class Parallel:
    """Weights on a list, and a sweep over the sums of those that are parallel; all float64, see `Weights`.

    Args:
        problem: The task.
        course: Of its network.
        masks: Parameter name -> which weights there are, of the layers that are pruned.

    Cost: in each step a sum, two products and some comparisons a weight, and what a sweep does with a kernel.
    """

    def __init__(self, problem: Problem, course: Course, masks: Mapping[str, Tensor]) -> None:
        parallel, layers = parallel_layers(course), problem.network.layers
        weights = {name: weight.abs().double() for name, weight in problem.weights.items()}
        weights |= {name: weights[name].mul_(mask) for name, mask in masks.items()}
        sums = {name: weight.flatten(2).sum(2) if name in parallel else weight for name, weight in weights.items()}
        edges = {name: with_one_cell(layer) if name in parallel else layer for name, layer in layers.items()}
        pruned, others = ([edges[name] for name in edges if (name in masks) is asked] for asked in (True, False))
        of_pruned, of_others = (Edges.of(each, sums, torch.float64) for each in (pruned, others))
        self.sweep = Sweep(without_cells(course, parallel), of_pruned, of_others, torch.ones_like(course.pinned))
        size = sum(layer.size for layer in problem.layers)
        self._held, self._shares = torch.empty(size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
        self._kernels, self._positions = torch.empty(size, dtype=torch.long), torch.arange(size)
        self._blocks: dict[str, Block] = {}
        start = 0
        for layer in problem.layers:
            edge = of_pruned.blocks[layer.name]
            self._blocks[layer.name] = block = Block(layer, start, None, None, edge.exponent)
            torch.mul(block.cut(weights[layer.name]), 2.0**-edge.exponent, out=block.view(self._held))
            block.view(self._kernels).copy_(torch.arange(edge.start, edge.start + edge.size).view(edge.shape))
            start += block.size
        self._leave_out()

    @staticmethod
    def pays(problem: Problem, course: Course) -> bool:
        """Whether most weights are parallel to others."""
        size = sum(layer.size for layer in problem.layers)
        if size > _MOST or any(weight.device.type != "cpu" for weight in problem.weights.values()):
            return False
        parallel = parallel_layers(course)
        edges = [layer.size // layer.cells if layer.name in parallel else layer.size for layer in problem.layers]
        return _SEVERAL * sum(edges) <= size

    @property
    def held(self) -> Tensor:
        """See `Weights`."""
        return self._held

    @property
    def shares(self) -> Tensor:
        """See `Weights`."""
        return self._shares

    def run(self) -> None:
        """See `Weights`."""
        edges, kernels, held = self.sweep.edges, self._kernels.numpy(), self.held.numpy()
        edges.held.copy_(torch.from_numpy(np.bincount(kernels, held, len(edges.held))))
        self.sweep.run(slopes=True)
        shares = self._shares.numpy()
        edges.shares.numpy().take(kernels, out=shares, mode="clip")  # which does not look twice
        np.multiply(shares, held, out=shares)

    def part(self, name: str) -> slice:
        """See `Weights`."""
        return self._parts[name]

    def placed(self, name: str) -> _Listed:
        """See `Weights`."""
        block = self._blocks[name]
        return _Listed(block, self._positions[self._parts[name]] - block.start)

    def in_order(self, names: Sequence[str], places: Places, threshold: float) -> NDArray[np.intp]:
        """See `Weights`."""
        listed, blocks = places + self._parts[names[0]].start, [self._blocks[name] for name in names]
        inside, positions = self._positions.numpy().take(listed), np.empty_like(places)
        layers = np.searchsorted([block.start for block in blocks], inside, side="right") - 1
        for layer in np.unique(layers):
            own = layers == layer
            positions[own] = blocks[layer].positions(torch.from_numpy(inside[own] - blocks[layer].start)).numpy()
        return in_order(self._shares.numpy().take(listed), positions, layers, threshold)

    def forget(self, alive: int, left: Callable[[], Mapping[str, int]], steps: int) -> bool:
        """Leave out the weights that are gone, and with them those that carry no flow."""
        del left
        if not steps or alive > _FEWER * len(self.held):
            return False
        self._leave_out()
        return True

    def _leave_out(self) -> None:
        alive = self.held.numpy() > 0
        if not alive.all():
            there = alive.nonzero()[0]
            self._held, self._kernels, self._positions = (
                torch.from_numpy(each.numpy().take(there)) for each in (self._held, self._kernels, self._positions)
            )
            self._shares = self._shares[: len(there)]
        starts = [block.start for block in self._blocks.values()] + [sum(block.size for block in self._blocks.values())]
        bounds = np.searchsorted(self._positions.numpy(), starts).tolist()
        self._parts = {name: slice(*bounds[i : i + 2]) for i, name in enumerate(self._blocks)}
