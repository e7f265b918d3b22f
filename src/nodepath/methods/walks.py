"""Random walks along the paths of a network, many at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodepath.paths.geometry import Geometry
from nodepath.paths.network import Network
from nodepath.paths.site import Site
from nodepath.paths.wiring import Wiring

__all__ = ["Steps", "Walker"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Steps:
    """What some walks have taken, walk by walk, each from its own beginning.

    Attributes:
        walk: Number of the walk that took each step.
        weight: Number of the weight, layers in order and positions within; -1 for one that cannot be pruned.
    """

    walk: Ints
    weight: Ints


class Walker:
    """Walks from inputs to outputs and back, along each weight in proportion to its size.

    Args:
        network: The network.
        wiring: Its graph of channels.
        sizes: Parameter name -> size of each weight >= 0; zero where no walk may go.

    Attributes:
        begins: Parameter name -> number of its first weight.
        sources: Nodes of the network's inputs from which a walk gets through.
        ends: The network's outputs to which one does, counted from 0.
    """

    def __init__(self, network: Network, wiring: Wiring, sizes: Mapping[str, Tensor]) -> None:
        numbers = np.cumsum([0, *(size.numel() for size in sizes.values())])
        self.begins = dict(zip(sizes, numbers.tolist(), strict=False))
        self._shapes = {name: network.layers[name].shape for name in sizes}
        self._wiring = wiring
        sites = wiring.sites
        kernels = [_kernels(site, sizes) for site in sites]
        self._first_row = np.cumsum([0, *(site.geometry.inputs for site in sites)])
        self._first_node = wiring.sources + np.cumsum([0, *(site.geometry.outputs for site in sites)])
        nodes = int(self._first_node[-1])
        self._without_dead_ends(kernels, nodes)
        self._onwards = [
            _Draw(np.swapaxes(kernel, 1, 2), site.geometry.inputs) for kernel, site in _both(kernels, sites)
        ]
        self._back = [_Draw(kernel, site.geometry.outputs) for kernel, site in _both(kernels, sites)]
        feeds = wiring.feeds
        leaving = np.concatenate([*(draw.totals for draw in self._onwards), np.zeros(wiring.ends)])
        arriving = np.concatenate([np.zeros(wiring.sources), *(draw.totals for draw in self._back)])
        self._readers = _Choice(feeds.node, feeds.reader, leaving[feeds.reader], nodes)
        self._writers = _Choice(feeds.reader, feeds.node, arriving[feeds.node], wiring.rows + wiring.ends)
        self.sources = np.flatnonzero(self._readers.totals[: wiring.sources] > 0)
        self.ends = np.flatnonzero(self._writers.totals[wiring.rows :] > 0)

    def _without_dead_ends(self, kernels: list[Floats], nodes: int) -> None:
        """Take from the sizes those of weights that no walk can leave, or reach."""
        wiring, feeds = self._wiring, self._wiring.feeds
        by_node = np.argsort(feeds.node, kind="stable")
        cuts = np.searchsorted(feeds.node[by_node], self._first_node)
        leads = np.zeros(wiring.rows + wiring.ends, dtype=bool)
        leads[wiring.rows :] = True
        for place in reversed(range(len(kernels))):
            pairs = by_node[cuts[place] : cuts[place + 1]]
            lives = np.zeros(self._first_node[place + 1] - self._first_node[place], dtype=bool)
            lives[feeds.node[pairs[leads[feeds.reader[pairs]]]] - self._first_node[place]] = True
            kernels[place] = kernels[place] * lives.reshape(len(kernels[place]), -1, 1, 1)
            leads[self._rows(place)] = kernels[place].any(axis=(1, 3)).flatten()
        cuts = np.searchsorted(feeds.reader, self._first_row)
        reached = np.zeros(nodes, dtype=bool)
        reached[: wiring.sources] = True
        for place, kernel in enumerate(kernels):
            into = slice(cuts[place], cuts[place + 1])
            arrives = np.zeros(self._first_row[place + 1] - self._first_row[place], dtype=bool)
            arrives[feeds.reader[into][reached[feeds.node[into]]] - self._first_row[place]] = True
            kernels[place] = kernel * arrives.reshape(len(kernel), 1, -1, 1)
            reached[self._first_node[place] : self._first_node[place + 1]] = kernels[place].any(axis=(2, 3)).flatten()

    def _rows(self, place: int) -> slice:
        return slice(self._first_row[place], self._first_row[place + 1])

    @property
    def depth(self) -> int:
        """No walk has more steps."""
        return len(self._wiring.sites)

    def reachable(self, number: int) -> Bools:
        """Which weights some walk can take (number,)."""
        found = np.zeros(number, dtype=bool)
        for site, draw in zip(self._wiring.sites, self._back, strict=True):
            if site.name is not None:
                found[self._numbers(site, *draw.possible())] = True
        return found

    def forwards(self, nodes: Ints, generator: torch.Generator) -> Steps:
        """From a network's input each, to an output.

        Args:
            nodes: Where each walk begins, of `sources`.
            generator: Draws.
        """
        row = self._readers.draw(nodes, generator)
        walks: list[Ints] = []
        weights: list[Ints] = []
        for place, site in enumerate(self._wiring.sites):
            here = np.flatnonzero((row >= self._first_row[place]) & (row < self._first_row[place + 1]))
            if not len(here):
                continue
            inputs = row[here] - self._first_row[place]
            column, cell = self._onwards[place].draw(inputs, generator)
            group = inputs // (site.geometry.inputs // site.geometry.groups)
            outputs = group * (site.geometry.outputs // site.geometry.groups) + column
            walks.append(here)
            weights.append(self._numbers(site, outputs, inputs, cell))
            row[here] = self._readers.draw(self._first_node[place] + outputs, generator)
        return _in_order(walks, weights)

    def backwards(self, ends: Ints, generator: torch.Generator) -> Steps:
        """From a network's output each, back to an input.

        Args:
            ends: Where each walk begins, of `ends`.
            generator: Draws.
        """
        node = self._writers.draw(self._wiring.rows + ends, generator)
        walks: list[Ints] = []
        weights: list[Ints] = []
        for place, site in reversed(list(enumerate(self._wiring.sites))):
            here = np.flatnonzero((node >= self._first_node[place]) & (node < self._first_node[place + 1]))
            if not len(here):
                continue
            outputs = node[here] - self._first_node[place]
            column, cell = self._back[place].draw(outputs, generator)
            group = outputs // (site.geometry.outputs // site.geometry.groups)
            inputs = group * (site.geometry.inputs // site.geometry.groups) + column
            walks.append(here)
            weights.append(self._numbers(site, outputs, inputs, cell))
            node[here] = self._writers.draw(self._first_row[place] + inputs, generator)
        return _in_order(walks, weights)

    def _numbers(self, site: Site, outputs: Ints, inputs: Ints, cells: Ints) -> Ints:
        """Numbers of the weights between outputs and inputs of a site."""
        if site.name is None:
            return np.full(len(outputs), -1, dtype=np.int64)
        geometry, per_kernel = site.geometry, _cells(site.geometry)
        if geometry.transposed:
            first, second, width = inputs, outputs % (geometry.outputs // geometry.groups), geometry.shape[1]
        else:
            first, second, width = outputs, inputs % (geometry.inputs // geometry.groups), geometry.shape[1]
        places: Ints = ((site.first_row + first) * width + second) * per_kernel + cells
        places += self.begins[site.name]
        return places


class _Draw:
    """Draws an entry of a row in proportion to its size.

    Args:
        kernels: Sizes (groups, rows of a group, columns of a group, cells).
        rows: Number of rows, of all groups.
    """

    def __init__(self, kernels: Floats, rows: int) -> None:
        self._cells, self._width = kernels.shape[3], kernels.shape[2] * kernels.shape[3]
        self._columns = kernels.shape[2]
        self._sums = np.concatenate([[0.0], np.cumsum(np.ascontiguousarray(kernels).reshape(-1))])
        self._per_group = kernels.shape[1]
        self.totals = np.diff(self._sums[:: self._width]) if rows else np.zeros(0)

    def draw(self, rows: Ints, generator: torch.Generator) -> tuple[Ints, Ints]:
        """Column within the group, and cell."""
        place = _within(self._sums, rows * self._width, (rows + 1) * self._width, generator) - rows * self._width
        return place // self._cells, place % self._cells

    def possible(self) -> tuple[Ints, Ints, Ints]:
        """Row, column and cell of all entries that can be drawn; columns of all groups."""
        place = np.flatnonzero(np.diff(self._sums) > 0)
        rows, rest = place // self._width, place % self._width
        return rows, rows // self._per_group * self._columns + rest // self._cells, rest % self._cells


class _Choice:
    """Draws a neighbour in proportion to its size.

    Args:
        whose: Of each pair, whose neighbour it is.
        neighbour: Of each pair.
        sizes: Of each pair.
        number: How many have neighbours.
    """

    def __init__(self, whose: Ints, neighbour: Ints, sizes: Floats, number: int) -> None:
        order = np.argsort(whose, kind="stable")
        self._neighbour = neighbour[order]
        self._sums = np.concatenate([[0.0], np.cumsum(sizes[order])])
        self._begins = np.searchsorted(whose[order], np.arange(number + 1))
        self.totals = np.diff(self._sums[self._begins])

    def draw(self, whose: Ints, generator: torch.Generator) -> Ints:
        """A neighbour of each; -1 where none has a size."""
        found = np.full(len(whose), -1, dtype=np.int64)
        some = np.flatnonzero(self.totals[whose] > 0)
        begins, ends = self._begins[whose[some]], self._begins[whose[some] + 1]
        found[some] = self._neighbour[_within(self._sums, begins, ends, generator)]
        return found


def _within(sums: Floats, begins: Ints, ends: Ints, generator: torch.Generator) -> Ints:
    """An entry of each range, in proportion to its size, by one search in running sums."""
    low, high = sums[begins], sums[ends]
    aim = low + torch.rand(len(begins), generator=generator, dtype=torch.float64).numpy() * (high - low)
    # below the end also after rounding; an entry of no size begins and ends at the same sum, and is passed by
    return np.searchsorted(sums, np.minimum(aim, np.nextafter(high, -np.inf)), side="right") - 1


def _kernels(site: Site, sizes: Mapping[str, Tensor]) -> Floats:
    """Sizes of a site's weights (groups, outputs of a group, inputs of a group, cells), a copy."""
    geometry = site.geometry
    held = site.weight.detach().abs() if site.name is None else sizes[site.name]
    some = held if len(held) == len(site.weight) else held[site.rows]
    values: Floats = some.to("cpu", torch.float64).numpy()
    shape = geometry.groups, -1, geometry.shape[1], _cells(geometry)
    made = values.reshape(shape)
    return np.swapaxes(made, 1, 2).copy() if geometry.transposed else made.copy()


def _cells(geometry: Geometry) -> int:
    return int(np.prod(geometry.shape[2:], dtype=np.int64))


def _both(kernels: list[Floats], sites: tuple[Site, ...]) -> list[tuple[Floats, Site]]:
    return list(zip(kernels, sites, strict=True))


def _in_order(walks: list[Ints], weights: list[Ints]) -> Steps:
    """Walk by walk, the steps of each in the order in which they were taken."""
    none = np.zeros(0, dtype=np.int64)
    walk, weight = np.concatenate([none, *walks]), np.concatenate([none, *weights])
    order = np.argsort(walk, kind="stable")
    return Steps(walk[order], weight[order])
