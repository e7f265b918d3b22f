"""What npb-even decides before it draws: which channels live, and how many weights lie between them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nodepath.budgets import BUDGETS, Erk, apportion
from nodepath.methods.even.budget import Plan, plan
from nodepath.methods.even.by_layer import of_steering, within_layers
from nodepath.methods.even.living import Block, Groups
from nodepath.methods.even.shared_out import shared_out
from nodepath.paths.channels import channels
from nodepath.paths.layer import Layer
from nodepath.paths.network import Network
from nodepath.paths.reach import reach, steering
from nodepath.paths.site import Part

__all__ = ["PATHS", "Design", "Designer", "Share"]

PATHS = "paths"
"""The budget under which one weight more would bring as many paths in each layer."""


@dataclass(frozen=True)
class Share:
    """What one layer keeps.

    Attributes:
        block: Between which channels.
        number: How many weights.
        cells: How gladly each cell of a kernel is kept, of the kernel's shape; 0: never.
    """

    block: Block
    number: int
    cells: Tensor


@dataclass(frozen=True)
class Design:
    """Masks of npb-even, but for the draw.

    Attributes:
        counts: How many channels of each group live.
        shares: What each layer keeps, in the order of use; queries, keys and gates have shares of their own.
        log2_paths: log2 of the paths that such masks have on average; -inf for none.
        log_widths: Sum over the layers (and the network's inputs) of the log of the living channels that carry paths.
    """

    counts: tuple[int, ...]
    shares: tuple[Share, ...]
    log2_paths: float
    log_widths: float

    @property
    def position(self) -> float:
        """Log paths / (log paths + log widths), see `Topology.position`; NaN for no path."""
        paths = self.log2_paths * math.log(2)
        total = paths + self.log_widths
        return paths / total if math.isfinite(paths) and total > 0 else math.nan


class Designer:
    """Designs masks of one network and budget for any share of living channels.

    Args:
        network: The network.
        included: The layers that may be pruned; what the others read and write all lives.
        keep: How many of their weights are kept.
        budget: `PATHS`, or the name of a budget, which shares the weights out among layers of the living channels.
        counts: Parameter name -> weights of each included layer, where they are given; overrides `budget`.
        generator: Decides which channels live; on the CPU.

    Attributes:
        groups: The channels, in groups.
        generator: As given.
    """

    def __init__(
        self,
        network: Network,
        included: Sequence[str],
        keep: int,
        generator: torch.Generator,
        budget: str = PATHS,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        self.network, self.included, self.keep = network, frozenset(included), keep
        self.budget, self.counts, self.generator = budget, counts, generator
        tied = channels(network)
        for side in tied.sides:
            if side.part[0] not in self.included:
                tied.pinned[side.channels[side.channels >= 0]] = True
        self.groups = Groups(network, tied, generator)
        self._last: tuple[tuple[int, ...], tuple[list[Block], list[Block], dict[Part, Tensor]]] | None = None

    @cached_property
    def _steers(self) -> dict[str, Tensor]:
        """Layer -> which of its outputs steer and carry no paths, bool."""
        cells = steering(self.network)
        return {
            name: self.network.layers[name].kernels(cells[name].cpu()).flatten(2).any(2).flatten() for name in cells
        }

    @cached_property
    def _whole(self) -> dict[str, int]:
        """What ERK, or who was asked, keeps of each whole layer."""
        return dict(self.counts) if self.counts is not None else Erk()(list(self._layers.values()), self.keep)

    def blocks(self, counts: Sequence[int]) -> tuple[list[Block], list[Block], dict[Part, Tensor]]:
        """Between living channels: blocks that carry paths, blocks that steer, and which outputs live, by part.

        What is asked of the same counts again and again is found once.
        """
        if self._last is None or self._last[0] != tuple(counts):
            self._last = tuple(counts), self._blocks(counts)
        return self._last[1]

    def _blocks(self, counts: Sequence[int]) -> tuple[list[Block], list[Block], dict[Part, Tensor]]:
        carrying: list[Block] = []
        steers: list[Block] = []
        living = {}
        for block in self.groups.blocks(self.groups.living(counts)):
            name, row = block.part
            living[block.part] = block.outputs
            if name not in self.included:
                continue
            if name not in self._steers:
                carrying.append(block)
                continue
            control = self._steers[name]
            if len(control) != len(block.outputs):  # a part of a packed projection
                control = control[row : row + len(block.outputs)]
            for some, chosen in ((carrying, ~control), (steers, control)):
                if bool((block.outputs & chosen).any()):
                    some.append(replace(block, outputs=block.outputs & chosen))
        return carrying, steers, living

    def room(self, counts: Sequence[int]) -> int:
        """How many weights lie between living channels, those at cells that carry no path included."""
        carrying, steers, _ = self.blocks(counts)
        return sum(block.pairs * block.layer.cells for block in (*carrying, *steers))

    def need(self, counts: Sequence[int]) -> int:
        """How many weights it takes to keep each hidden channel on a path."""
        carrying, _, _ = self.blocks(counts)
        return sum(max(1, block.least_hidden) for block in carrying)

    def lacking(self, counts: Sequence[int]) -> dict[str, int]:
        """Layers that are to keep more weights than lie between their living channels, though wider ones hold more.

        Args:
            counts: How many channels of each group live.

        Returns:
            Parameter name -> weights between its living channels, at cells that carry paths; empty if no counts of
            weights are given.
        """
        if self.counts is None:
            return {}
        rooms = self._rooms(counts)
        return {name: room for name, room in rooms.items() if room < min(self.counts[name], self._most[name])}

    def widened(self, counts: Sequence[int]) -> list[int]:
        """Counts at which no layer is lacking: more channels of the groups beside layers that are.

        Args:
            counts: Where to begin.
        """
        wider = list(counts)
        while lacking := self.lacking(wider):
            for number in self.groups.beside(lacking):
                wider[number] = min(self.groups.sizes[number], wider[number] + max(1, wider[number] // 16))
        return wider

    def _rooms(self, counts: Sequence[int]) -> dict[str, int]:
        """Weights between living channels of each included layer, at cells that carry paths."""
        rooms = dict.fromkeys(self._layers, 0)
        for blocks in self.blocks(counts)[:2]:
            for block in blocks:
                rooms[block.part[0]] += block.pairs * self._cells[block.part[0]]
        return rooms

    @cached_property
    def _most(self) -> dict[str, int]:
        """The same if all channels live."""
        return self._rooms(self.groups.sizes)

    @cached_property
    def _cells(self) -> dict[str, int]:
        """Layer -> cells of a kernel that lie on a path, or steer one, of the dense network."""
        live = reach(self.network, {}).weights
        return {name: int(layer.kernels(live[name]).flatten(0, 2).any(0).sum()) for name, layer in self._layers.items()}

    @property
    def _layers(self) -> dict[str, Layer]:
        return {name: layer for name, layer in self.network.layers.items() if name in self.included}

    def design(self, counts: Sequence[int], rounds: int = 6) -> Design:
        """Share the budget out between living channels.

        Args:
            counts: How many channels of each group live.
            rounds: See `plan`.
        """
        carrying, steers, living = self.blocks(counts)
        apart = self._control(carrying, steers)
        keep = self.keep - sum(share.number for share in apart)
        planned = self._plan(carrying, apart, living, keep, rounds)
        caps = [block.pairs * int((planned.cells[block.part] > 0).sum()) for block in carrying]
        if self.counts is None:
            numbers = _whole_numbers([planned.numbers[block.part] for block in carrying], caps, keep)
        else:
            numbers = self._asked(carrying, apart, caps)
        shares = [
            Share(block, number, planned.cells[block.part]) for block, number in zip(carrying, numbers, strict=True)
        ]
        wide = [int(block.outputs.sum()) for block in carrying]
        inputs = max((int((block.inputs & block.fixed_inputs).sum()) for block in carrying[:1]), default=1)
        log_widths = sum(math.log(max(1, width)) for width in (inputs, *wide))
        order = {name: number for number, name in enumerate(self.network.layers)}
        every = sorted((*shares, *apart), key=lambda share: order[share.block.part[0]])
        return Design(tuple(counts), tuple(every), planned.log2_paths, log_widths)

    def _control(self, carrying: Sequence[Block], steers: Sequence[Block]) -> list[Share]:
        """As large a part of each layer's steering weights as ERK, or who was asked, keeps of the layer."""
        if not steers:
            return []
        wanted = []
        for block in steers:
            name = block.part[0]
            every = self.network.layers[name]
            outputs = int(self._steers[name].sum()) if len(every.rows) == 1 else block.layer.outputs
            wanted.append(self._whole[name] * outputs / every.outputs)
        if self.counts is not None:
            shares = of_steering(steers, wanted, carrying, self.counts)
        else:
            shares = [min(round(want), b.pairs * b.layer.cells) for want, b in zip(wanted, steers, strict=True)]
            # what carries paths must be able to take the rest
            room = sum(block.pairs * block.layer.cells for block in carrying)
            for number, block in enumerate(steers):
                missing = self.keep - sum(shares) - room
                shares[number] += max(0, min(missing, block.pairs * block.layer.cells - shares[number]))
        ones = [torch.ones(block.layer.shape[2:], dtype=torch.float64) for block in steers]
        return [Share(block, number, cells) for block, number, cells in zip(steers, shares, ones, strict=True)]

    def _plan(
        self, blocks: list[Block], apart: list[Share], living: Mapping[Part, Tensor], keep: int, rounds: int
    ) -> Plan:
        if self.counts is None and self.budget == PATHS:
            return plan(self.network, blocks, living, keep, rounds=rounds)
        if self.counts is None:
            return plan(self.network, blocks, living, keep, self._budgeted(blocks, keep), rounds=2)
        asked = self._asked(blocks, apart, [block.pairs * block.layer.cells for block in blocks])
        fixed = {block.part: float(number) for block, number in zip(blocks, asked, strict=True)}
        return plan(self.network, blocks, living, keep, fixed, rounds=2)

    def _asked(self, blocks: Sequence[Block], apart: Sequence[Share], caps: Sequence[int]) -> list[int]:
        """The counts asked for without what steers, parts of a layer in proportion to what they hold."""
        rest = dict(self._whole)
        for share in apart:
            rest[share.block.part[0]] -= share.number
        return within_layers(blocks, [float(block.pairs) for block in blocks], caps, rest)

    def _budgeted(self, blocks: Sequence[Block], keep: int) -> dict[Part, float]:
        """What a budget gives layers of the living channels, and at least what these need."""
        layers = []
        for number, block in enumerate(blocks):
            groups = max(1, sum(bool(len(inputs)) and bool(len(outputs)) for inputs, outputs in block.by_group))
            sizes = [max(1, int(side.sum())) for side in (block.outputs, block.inputs)]
            if block.layer.transposed:
                shape = (sizes[1], max(1, sizes[0] // groups), *block.layer.shape[2:])
            else:
                shape = (sizes[0], max(1, sizes[1] // groups), *block.layer.shape[2:])
            layers.append(replace(block.layer, name=str(number), shape=shape, groups=groups, rows=(shape[0],)))
        given = BUDGETS[self.budget]()(layers, min(keep, sum(layer.size for layer in layers)))
        return {block.part: float(given[str(number)]) for number, block in enumerate(blocks)}

    def widest(self, fits: Callable[[Sequence[int]], bool], counts: Sequence[int], *, wider: bool) -> list[int]:
        """The counts nearest to `counts`, scaled, that fit; one channel each, or all, if none do.

        Args:
            fits: Whether counts do.
            counts: Where to begin.
            wider: Scale up, not down.
        """

        def scaled(factor: float) -> list[int]:
            pairs = zip(counts, self.groups.sizes, strict=True)
            return [min(size, max(1, round(count * factor))) for count, size in pairs]

        most = max((size / count for count, size in zip(counts, self.groups.sizes, strict=True)), default=1.0)
        good, bad = (math.log(most), 0.0) if wider else (-math.log(max([1, *counts])), 0.0)
        for _ in range(20):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if fits(scaled(math.exp(middle))) else (good, middle)
        return scaled(math.exp(good))


def _whole_numbers(amounts: Sequence[float], caps: Sequence[int], keep: int) -> list[int]:
    """Rounded; what blocks do not hold of their amounts the others take."""
    real = np.array(amounts)
    missing = keep - real.sum()
    if missing > 1e-6 * max(keep, 1):
        real = shared_out(np.ones(len(caps)), real, np.array(caps, dtype=float), keep)
    names = [str(number) for number in range(len(caps))]
    room = dict(zip(names, caps, strict=True))
    fitted = apportion(dict(zip(names, map(float, real), strict=True)), room, min(keep, sum(caps)))
    return [fitted[name] for name in names]
