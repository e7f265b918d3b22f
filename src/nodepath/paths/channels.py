"""Which channels of which layers are one: tied by residual adds, gates, depthwise layers, shared weights."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nodepath.paths.network import Network
from nodepath.paths.semantics import Semantics
from nodepath.paths.site import Made, Part, Site

__all__ = ["Channels", "Side", "channels"]

_SOURCE = 1.0
"""Label of all that comes from the input through no layer."""


@dataclass(frozen=True)
class Side:
    """The inputs or the outputs of one layer (of one part, if its in-projection is packed).

    Attributes:
        part: The layer.
        incoming: Inputs, not outputs.
        channels: Channel of each of them (n,); -1 where none can be told: what mixes channels lies between.
        groups: Of the convolution; neighbouring entries belong to a group.
    """

    part: Part
    incoming: bool
    channels: Tensor
    groups: int


@dataclass(frozen=True)
class Channels:
    """The channels of a network, each of which lives or dies as one.

    What is written by a layer is read under the same number, whatever lies between: a residual add makes one channel of
    two, a gate of itself and what it steers, a depthwise layer of what it reads and writes; flattened features are
    their channel's.

    Attributes:
        number: How many there are.
        sides: The inputs and the outputs of each part of each layer, in the order of use.
        pinned: Which are the network's own inputs or outputs (number,), bool.
    """

    number: int
    sides: tuple[Side, ...]
    pinned: Tensor

    def side(self, part: Part, *, incoming: bool) -> Side:
        """The inputs or the outputs of a part."""
        return next(side for side in self.sides if side.part == part and side.incoming == incoming)


@dataclass(frozen=True)
class _Labels(Semantics):
    """Sends labels of channels instead of numbers, and takes down which of them meet."""

    met: list[tuple[Tensor, Tensor]] = field(default_factory=list, compare=False)

    def settle(self, counts: Tensor, exponent: int) -> tuple[Tensor, int]:
        """Labels are not scaled."""
        del exponent
        return counts, 0

    def join(self, left: Tensor, right: Tensor) -> Tensor:
        """One of the two labels stands for both from now on."""
        if left.numel() != right.numel():  # one for all channels beside one each: no channel of its own
            return left if left.numel() > right.numel() else right
        self.met.append((left, right))
        return torch.where(left > 0, left, right)

    def pair(self, left: Tensor, right: Tensor) -> None:
        """See `Semantics.pair`."""
        if left.numel() == right.numel():
            self.met.append((left, right))


class _Walk:
    """Gives each output channel of each layer a label of its own, and takes down which labels each layer reads.

    Labels are large numbers at random, so that what a mixture of channels makes of them is none.
    """

    def __init__(self, network: Network) -> None:
        self.layers = network.layers
        self.semantics = _Labels(average="mean", maximum="max")
        self.generator = torch.Generator().manual_seed(0)
        self.given: dict[Part, Tensor] = {}
        self.read: dict[Part, Tensor] = {}

    def __call__(self, site: Site, counts: Tensor, spread: Callable[[Tensor | None], Tensor]) -> Made:
        """See `Weigh`."""
        del spread
        axis = site.geometry.axis
        arriving = _one_each(counts.movedim(axis, 0).flatten(1))
        outputs, depthwise = site.geometry.outputs, site.geometry.groups == site.geometry.inputs > 1
        if site.name is not None:
            part = site.name, site.first_row
            before = self.read.setdefault(part, arriving)
            if before is not arriving:
                self.semantics.met.append((before, arriving))
            leaving = self.given.get(part)
            if leaving is None:
                leaving = self.given[part] = self._fresh(outputs)
            if depthwise:
                self.semantics.met.append((arriving.repeat_interleave(outputs // len(arriving)), leaving))
        elif depthwise:  # a fixed filter
            leaving = arriving.repeat_interleave(outputs // len(arriving))
        else:
            leaving = self._fresh(outputs)
        sizes = [1] * counts.ndim
        sizes[axis] = outputs
        return Made(leaving.to(counts).reshape(sizes))

    def _fresh(self, number: int) -> Tensor:
        return torch.randint(2, 1 << 48, (number,), generator=self.generator).double()


def channels(network: Network) -> Channels:
    """Tell which channels of a network are one.

    Args:
        network: The network.

    Cost: one walk through the model in which each layer costs as much as it has channels.
    """
    walk = _Walk(network)
    with torch.no_grad():
        arrival = network.send(walk.semantics, walk, resolution="channel")
    ends = [torch.tensor([_SOURCE]), *(outputs.flatten().cpu() for outputs in arrival.outputs)]
    known = torch.unique(torch.cat([ends[0].double(), *(labels.cpu() for labels in walk.given.values())]))
    pairs = [(left.flatten().cpu(), right.flatten().cpu()) for left, right in walk.semantics.met]
    left, right = (_places(known, torch.cat(side)) for side in zip(*pairs, strict=True)) if pairs else (known[:0],) * 2
    both = (left >= 0) & (right >= 0)
    component = _components(len(known), left[both].long(), right[both].long())

    def numbered(labels: Tensor) -> Tensor:
        places = _places(known, labels.cpu())
        return torch.where(places < 0, -1, component[places])

    pinned = torch.zeros(int(component.max()) + 1, dtype=torch.bool)
    for end in ends:
        found = numbered(end)
        pinned[found[found >= 0]] = True
    sides = []
    for part, arriving in walk.read.items():
        layer = network.layers[part[0]]
        sides.append(Side(part, incoming=True, channels=numbered(arriving), groups=layer.groups))
        sides.append(Side(part, incoming=False, channels=numbered(walk.given[part]), groups=layer.groups))
    return Channels(len(pinned), tuple(sides), pinned)


def _one_each(values: Tensor) -> Tensor:
    """One label a channel; 0 where a channel carries several."""
    first = values[:, 0]
    return first if values.shape[1] == 1 else torch.where((values == first.unsqueeze(1)).all(1), first, 0.0)


def _places(known: Tensor, labels: Tensor) -> Tensor:
    """Where labels stand among the sorted known ones; -1 for none of them."""
    places = torch.searchsorted(known, labels.double()).clamp(max=len(known) - 1)
    return torch.where(known[places] == labels, places, -1)


def _components(number: int, left: Tensor, right: Tensor) -> Tensor:
    """The connected component of each of `number` nodes, numbered from 0 (number,).

    The least node of each component spreads along the edges and, by jumps, along the way that it has come.
    """
    least = torch.arange(number)
    while True:
        joined = torch.minimum(least[left], least[right])
        after = least.clone()
        for ends in (left, right):
            after.scatter_reduce_(0, ends, joined, "amin")
            after.scatter_reduce_(0, least[ends], joined, "amin")
        after = after[after]
        if torch.equal(after, least):
            numbers: Tensor = torch.unique(least, return_inverse=True)[1]
            return numbers
        least = after
