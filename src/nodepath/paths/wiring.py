"""Which channels feed which: what each layer reads, and who has written it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodepath.paths.network import Network
from nodepath.paths.semantics import Semantics
from nodepath.paths.site import Made, Site

__all__ = ["Pairs", "Wiring", "wiring"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Which nodes feed which readers, in the order of readers.

    Attributes:
        reader: Number of the reader.
        node: Number of the node.
    """

    reader: Ints
    node: Ints


@dataclass(frozen=True)
class Wiring:
    """A network as a graph of channels.

    A node is a channel of one of the network's inputs, or an output of a layer where the forward pass uses it; a
    reader is an input of a layer there, or a channel of one of the network's outputs. What lies between is gone:
    activations, norms, pooling, and sums and concatenations, which let several nodes feed one reader.

    Attributes:
        sites: Each use of a layer, in order.
        sources: How many nodes are the network's inputs; they come first, then the outputs of all sites.
        rows: How many readers are inputs of sites; they come first, in order, then the network's outputs.
        ends: How many readers are the network's outputs.
        feeds: Which nodes feed which readers.
    """

    sites: tuple[Site, ...]
    sources: int
    rows: int
    ends: int
    feeds: Pairs


def wiring(network: Network) -> Wiring:
    """Tell which channels of a network feed which.

    Each node sends a label, a large number at random. Where two meet in a sum, a new label stands for both from there
    on; what labels were mixed otherwise (a mean over channels) tells by its slopes where it came from.

    Args:
        network: The network.

    Cost: one walk through the model in which each layer costs as much as it has channels; for each channel whose label
    is mixed, a backward pass to the layers before.
    """
    labels = _Labels(average="mean", maximum="max")
    walk = _Walk(labels)
    with torch.inference_mode(mode=False), torch.enable_grad():
        arrival = network.send(labels, walk, resolution="channel")
        readers = [*walk.read, *(outputs.reshape(-1, 1) for outputs in arrival.outputs)]
        nodes = [*labels.begun, *walk.written]
        feeds = _Origins(nodes, labels.merged).of(readers)
    rows = sum(map(len, walk.read))
    return Wiring(
        tuple(walk.sites), sum(each.numel() for each in labels.begun), rows, sum(map(len, readers)) - rows, feeds
    )


@dataclass(frozen=True)
class _Labels(Semantics):
    """Sends labels of nodes instead of numbers; their slopes tell as well where they come from."""

    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0), compare=False)
    begun: list[Tensor] = field(default_factory=list, compare=False)
    merged: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list, compare=False)

    def fresh(self, like: Tensor) -> Tensor:
        """New labels, of which no few sums and means are equal."""
        made = torch.randint(2, 1 << 48, like.shape, generator=self.generator)
        return made.to(like.device, torch.float64)

    def begin(self, ones: Tensor) -> Tensor:
        """A label for each channel of an input."""
        self.begun.append(self.fresh(ones).requires_grad_())
        return self.begun[-1]

    def settle(self, counts: Tensor, exponent: int) -> tuple[Tensor, int]:
        """Labels are not scaled."""
        del exponent
        return counts, 0

    def join(self, left: Tensor, right: Tensor) -> Tensor:
        """A new label for each pair of two; the same for the same, and none beside a constant."""
        first, second = torch.broadcast_tensors(left.detach(), right.detach())  # type: ignore[no-untyped-call]
        both = (first > 0) & (second > 0) & (first != second)
        made = torch.maximum(first, second)
        if bool(both.any()):
            pairs, place = torch.unique(torch.stack([first[both], second[both]], 1), dim=0, return_inverse=True)
            labels = self.fresh(pairs[:, 0])
            self.merged.append((labels, pairs[:, 0], pairs[:, 1]))
            made = made.clone()
            made[both] = labels[place]
        total = left + right
        return total + (made - total.detach())


class _Walk:
    """Gives each output of each site a label of its own, and takes down what each site reads."""

    def __init__(self, labels: _Labels) -> None:
        self.labels = labels
        self.sites: list[Site] = []
        self.read: list[Tensor] = []
        self.written: list[Tensor] = []

    def __call__(self, site: Site, counts: Tensor, spread: Callable[[Tensor | None], Tensor]) -> Made:
        """See `Weigh`."""
        del spread
        axis = site.geometry.axis
        self.sites.append(site)
        self.read.append(counts.movedim(axis, 0).flatten(1))
        leaving = self.labels.fresh(counts.new_empty(site.geometry.outputs)).requires_grad_()
        self.written.append(leaving)
        sizes = [1] * counts.ndim
        sizes[axis] = -1
        return Made(leaving.reshape(sizes))


class _Origins:
    """Which nodes a label stands for.

    Args:
        nodes: Labels of all nodes, as they were sent.
        merged: New labels, and the two that each stands for.
    """

    def __init__(self, nodes: Sequence[Tensor], merged: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        self.nodes = nodes
        flat = _array(torch.cat([each.detach().flatten() for each in nodes]))
        sets: dict[float, tuple[int, ...]] = {label: (node,) for node, label in enumerate(flat.tolist())}
        for labels, left, right in merged:
            for label, one, other in zip(labels.tolist(), left.tolist(), right.tolist(), strict=True):
                if one in sets and other in sets:
                    sets[label] = tuple(sorted({*sets[one], *sets[other]}))
        self._labels = np.array(sorted(sets))
        members = [sets[label] for label in self._labels.tolist()]
        self._sizes = np.array(list(map(len, members)))
        self._members = np.array(list(chain.from_iterable(members)), dtype=np.int64)
        self._begins = np.cumsum(self._sizes) - self._sizes

    def of(self, readers: Sequence[Tensor]) -> Pairs:
        """Who feeds each reader.

        Args:
            readers: Of each site or output, the labels that arrive at each of its channels (n, places).
        """
        reader: list[Ints] = []
        node: list[Ints] = []
        first = 0
        for arriving in readers:
            rows, nodes = self._feeding(arriving)
            keys = np.unique(rows * self._width + nodes)  # far faster than of pairs
            reader.append(first + keys // self._width)
            node.append(keys % self._width)
            first += len(arriving)
        return Pairs(np.concatenate(reader), np.concatenate(node))

    @property
    def _width(self) -> int:
        return sum(each.numel() for each in self.nodes)

    def _feeding(self, arriving: Tensor) -> tuple[Ints, Ints]:
        """Rows and the nodes that feed them, in no order and maybe twice."""
        labels = _array(arriving.detach())
        row, place = np.nonzero(labels > 0)
        found = labels[row, place]
        at = np.searchsorted(self._labels, found).clip(max=len(self._labels) - 1)
        known = self._labels[at] == found
        rows, nodes = self._listed(row[known], at[known])
        mixed = [(each, self._by_slopes(arriving[each])) for each in np.unique(row[~known]).tolist()]
        rows = np.concatenate([rows, *(np.full(len(those), each) for each, those in mixed)])
        return rows, np.concatenate([nodes, *(np.array(those, dtype=np.int64) for _, those in mixed)])

    def _listed(self, rows: Ints, at: Ints) -> tuple[Ints, Ints]:
        """Each row beside each node that its label stands for."""
        sizes = self._sizes[at]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return np.repeat(rows, sizes), self._members[np.repeat(self._begins[at], sizes) + within]

    def _by_slopes(self, mixed: Tensor) -> tuple[int, ...]:
        """The nodes on which some numbers depend."""
        slopes = torch.autograd.grad(mixed.sum(), list(self.nodes), allow_unused=True, retain_graph=True)
        depends = [
            node.new_zeros(node.numel()) if slope is None else slope.flatten()
            for node, slope in zip(self.nodes, slopes, strict=True)
        ]
        return tuple(torch.cat(depends).nonzero().flatten().tolist())


def _array(values: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = values.cpu().numpy()
    return array
