"""Which channels live: a share of each group of channels, and what lies between them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nodepath.errors import ArgumentError
from nodepath.methods.even.shared_out import shared_out
from nodepath.options import is_number
from nodepath.paths.channels import Channels, Side
from nodepath.paths.layer import Layer
from nodepath.paths.network import Network
from nodepath.paths.site import Part
from nodepath.registry import nearest

__all__ = ["Block", "Groups", "Width", "check_width"]

Width = float | Sequence[float] | Mapping[str, float]
"""Share of the channels of each group that live: one for all; one a group; or by patterns of the layers that write."""


@dataclass(frozen=True)
class Block:
    """What lies between the living inputs and outputs of one part of a layer.

    Attributes:
        part: The layer's name and the part's first row.
        layer: The part alone, as a layer.
        reads: Channel of each input (inputs,); -1 where none can be told.
        writes: Channel of each output (outputs of the part,).
        inputs: Which inputs live (inputs,), bool.
        outputs: Which outputs live (outputs of the part,), bool.
        sole_inputs: Which of them nothing else reads, bool.
        sole_outputs: Which of them nothing else writes, bool.
        fixed_inputs: Which inputs are the network's own, bool.
    """

    part: Part
    layer: Layer
    reads: Tensor
    writes: Tensor
    inputs: Tensor
    outputs: Tensor
    sole_inputs: Tensor
    sole_outputs: Tensor
    fixed_inputs: Tensor

    @cached_property
    def by_group(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Of each group of the convolution its living inputs and outputs, by their places within the group."""
        pairs = zip(self.inputs.chunk(self.layer.groups), self.outputs.chunk(self.layer.groups), strict=True)
        return tuple((inputs.nonzero().flatten(), outputs.nonzero().flatten()) for inputs, outputs in pairs)

    @cached_property
    def pairs(self) -> int:
        """Number of pairs of a living input and a living output of one group."""
        return int((_per_group(self.inputs, self.layer.groups) * _per_group(self.outputs, self.layer.groups)).sum())

    @property
    def least(self) -> int:
        """Weights that it takes to read each living input and to write each living output."""
        return max(int(self.inputs.sum()), int(self.outputs.sum()))

    @property
    def least_sole(self) -> int:
        """The same for those that nothing else reads or writes."""
        return max(int((self.inputs & self.sole_inputs).sum()), int((self.outputs & self.sole_outputs).sum()))

    @property
    def least_hidden(self) -> int:
        """The same without the network's own inputs."""
        inputs = self.inputs & self.sole_inputs & ~self.fixed_inputs
        return max(int(inputs.sum()), int((self.outputs & self.sole_outputs).sum()))


class Groups:
    """The channels of a network, in groups that the same layers write and read.

    Args:
        network: The network.
        channels: Its channels.
        generator: Decides which channels of a group live first; on the CPU.

    Attributes:
        sizes: Channels of each group, in the order of use.
        writers: The layers that write each group.
    """

    def __init__(self, network: Network, channels: Channels, generator: torch.Generator) -> None:
        self.network, self.channels = network, channels
        marks = torch.Generator().manual_seed(0)
        whole, fine = (torch.zeros(channels.number, dtype=torch.int64) for _ in range(2))
        place = torch.zeros(channels.number, dtype=torch.int64)
        self._reads, self._writes = (torch.zeros(channels.number, dtype=torch.int64) for _ in range(2))
        for side in channels.sides:
            known = side.channels >= 0
            found = torch.unique(side.channels[known])
            (self._reads if side.incoming else self._writes)[found] += 1
            mark, step = torch.randint(1 << 60, (2,), generator=marks)
            whole[found] += mark
            group = torch.arange(len(side.channels)) * side.groups // len(side.channels)
            if 1 < side.groups < len(side.channels):
                place[side.channels[known]] = group[known]
            fine[side.channels[known]] = fine[side.channels[known]] * 31 + group[known] * step
        # first of all in the order of use, then by the order in which its members shall live
        order = torch.full((channels.number,), len(channels.sides))
        for number, side in reversed(list(enumerate(channels.sides))):
            order[side.channels[side.channels >= 0]] = number
        free = ~channels.pinned
        key = torch.stack([order[free], whole[free]], 1)
        self._of = torch.full((channels.number,), -1)
        groups, self._of[free] = torch.unique(key, dim=0, return_inverse=True)
        self._rank = self._ranks(fine + whole, place, generator)
        self.sizes = torch.bincount(self._of[free], minlength=len(groups)).tolist()
        self.writers: list[list[str]] = [[] for _ in self.sizes]
        for side in channels.sides:
            if not side.incoming:
                for number in torch.unique(self._of[side.channels]).tolist():
                    if number >= 0 and side.part[0] not in self.writers[number]:
                        self.writers[number].append(side.part[0])

    def _ranks(self, fine: Tensor, place: Tensor, generator: torch.Generator) -> Tensor:
        """The turn of each channel within its group: at random, spread over the groups of grouped convolutions."""
        number = len(fine)
        draw = torch.rand(number, generator=generator, dtype=torch.float64)
        _, cell = torch.unique(torch.stack([self._of, fine], 1), dim=0, return_inverse=True)
        turn = _rank_within(cell, draw)  # within what one group of a convolution holds
        return _rank_within(self._of, turn.double() * (number + 1) + place.double() + draw / 2)

    def shares(self, width: Sequence[float] | Mapping[str, float]) -> list[float]:
        """The share of each group.

        Raises:
            ArgumentError: Not a share in (0, 1] for each group; tells the groups. A pattern that sets no group's share.
        """
        if isinstance(width, Mapping):
            self._check_patterns(width)
            return [self._named(width, number) for number in range(len(self.sizes))]
        if len(width) != len(self.sizes):
            raise ArgumentError(f"width has {len(width)} shares; the network has {self._listed()}")
        return [share_of(each) for each in width]

    def _named(self, width: Mapping[str, float], number: int) -> float:
        names = self.writers[number]
        fitting = (share_of(share) for pattern, share in width.items() if any(fnmatch(n, pattern) for n in names))
        return next(fitting, 1.0)

    def _check_patterns(self, width: Mapping[str, float]) -> None:
        """All of them: a typo that an earlier pattern covers would go unseen."""
        names = [name for names in self.writers for name in names]
        for pattern in width:
            if any(fnmatch(name, pattern) for name in names):
                continue
            whole = next((name for name in self.network.layers if fnmatch(name, pattern)), None)
            if whole is None:
                raise ArgumentError(f"width pattern '{pattern}' matches no layer; {nearest(pattern, names)}")
            raise ArgumentError(
                f"width pattern '{pattern}' matches only layers whose outputs all live ({whole}): the network's own, "
                "or what a layer that is left dense reads or writes; leave it out"
            )

    def beside(self, names: Collection[str]) -> list[int]:
        """The groups that some layers read or write.

        Args:
            names: Parameter names.
        """
        sides = [self._of[side.channels[side.channels >= 0]] for side in self.channels.sides if side.part[0] in names]
        return [number for number in torch.unique(torch.cat(sides)).tolist() if number >= 0]

    def _listed(self) -> str:
        first = [f"{names[0]} ({size})" for names, size in zip(self.writers, self.sizes, strict=True) if names]
        return f"{len(self.sizes)} groups of channels, written by {', '.join(first[:6])}{' ...' if first[6:] else ''}"

    def counts(self, width: Width, taper: float = 1.0) -> list[int]:
        r"""How many channels of each group live: at least one.

        Args:
            width: The share of all channels that live, or of each group.
            taper: How the number that live grows with the size C of a group, $\min(C, \kappa C^{taper})$: 1: the same
                share of each; 0: the same number. Of a single `width` alone.
        """
        sizes = np.array(self.sizes, dtype=float)
        if isinstance(width, Mapping | Sequence):
            wanted = np.array(self.shares(width)) * sizes
        else:
            wanted = shared_out(sizes**taper, np.zeros(len(sizes)), sizes, share_of(width) * sizes.sum())
        return [max(1, round(number)) for number in wanted]

    def living(self, counts: Sequence[int]) -> Tensor:
        """Which channels live (channels,), bool; the network's own inputs and outputs all do."""
        allowed = torch.tensor([*counts, 0])
        return self.channels.pinned | (self._rank < allowed[self._of])

    def blocks(self, living: Tensor) -> list[Block]:
        """What lies between living channels, of each part in the order of use."""
        return [
            replace(
                block,
                inputs=_at(living, block.reads, unknown=True),
                outputs=_at(living, block.writes, unknown=True),
            )
            for block in self._whole
        ]

    @cached_property
    def _whole(self) -> list[Block]:
        """What lies between all channels."""
        sides = self.channels.sides
        return [self._block(into, out) for into, out in zip(sides[::2], sides[1::2], strict=True)]

    def _block(self, into: Side, out: Side) -> Block:
        name, _ = into.part
        layer = self.network.layers[name]
        if len(layer.rows) > 1:
            layer = replace(layer, shape=(len(out.channels), *layer.shape[1:]), rows=(len(out.channels),))
        return Block(
            part=into.part,
            layer=layer,
            reads=into.channels,
            writes=out.channels,
            inputs=torch.ones_like(into.channels, dtype=torch.bool),
            outputs=torch.ones_like(out.channels, dtype=torch.bool),
            sole_inputs=_at(self._reads == 1, into.channels, unknown=True),
            sole_outputs=_at(self._writes == 1, out.channels, unknown=True),
            fixed_inputs=_at(self.channels.pinned, into.channels, unknown=False),
        )


def _at(values: Tensor, channels: Tensor, *, unknown: bool) -> Tensor:
    """Values of some channels; another one where a channel cannot be told."""
    return torch.where(channels >= 0, values[channels.clamp(min=0)], unknown)


def share_of(value: object) -> float:
    """Check a share of channels.

    Raises:
        ArgumentError: It is no number in (0, 1].
    """
    if not is_number(value) or not 0 < float(value) <= 1:  # type: ignore[arg-type]
        raise ArgumentError(f"width is {value!r}; pass a share of the channels in (0, 1], shares, or 'auto'")
    return float(value)  # type: ignore[arg-type]


def check_width(width: object) -> None:
    """Check what can be said of a width without a network.

    Raises:
        ArgumentError: Neither a share of channels, nor shares, nor patterns with their shares.
    """
    if isinstance(width, Mapping):
        for pattern in width:
            if not isinstance(pattern, str):
                raise ArgumentError(
                    f"width has the key {pattern!r}; pass patterns of layer names, e.g. 'layer1*', or a list of shares"
                )
    each = width.values() if isinstance(width, Mapping) else width if isinstance(width, Sequence) else [width]
    for share in each:
        share_of(share)


def _per_group(living: Tensor, groups: int) -> Tensor:
    return living.reshape(groups, -1).sum(1)


def _rank_within(kind: Tensor, key: Tensor) -> Tensor:
    """The place of each entry among those of its kind, by a key."""
    order = torch.argsort(key, stable=True)
    order = order[torch.argsort(kind[order], stable=True)]
    sizes = torch.unique(kind, return_counts=True)[1]
    first = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order)) - first
    return rank
