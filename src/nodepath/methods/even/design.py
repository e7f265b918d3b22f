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
from nodepath.methods.even.living import Block, Groups
from nodepath.methods.even.shared_out import shared_out
from nodepath.paths.channels import channels
from nodepath.paths.network import Network
from nodepath.paths.reach import steering
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
        counts: Parameter name -> weights of each layer, where they are given; overrides `budget`.
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
        layers = [layer for name, layer in self.network.layers.items() if name in self.included]
        return dict(self.counts) if self.counts is not None else Erk()(layers, self.keep)

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

    def design(self, counts: Sequence[int], rounds: int = 6) -> Design:
        """Share the budget out between living channels.

        Args:
            counts: How many channels of each group live.
            rounds: See `plan`.
        """
        carrying, steers, living = self.blocks(counts)
        apart = self._control(carrying, steers)
        keep = self.keep - sum(share.number for share in apart)
        planned = self._plan(carrying, living, keep, rounds)
        caps = [float(block.pairs * int((planned.cells[block.part] > 0).sum())) for block in carrying]
        amounts = np.array([planned.numbers[block.part] for block in carrying])
        missing = keep - amounts.sum()
        if missing > 1e-6 * max(keep, 1):  # a layer's budget is more than it holds: the others take it
            amounts = shared_out(np.ones(len(caps)), amounts, np.array(caps), keep)
        names = [str(number) for number in range(len(carrying))]
        room = dict(zip(names, map(int, caps), strict=True))
        fitted = apportion(dict(zip(names, map(float, amounts), strict=True)), room, min(keep, sum(room.values())))
        shares = [
            Share(block, fitted[name], planned.cells[block.part]) for name, block in zip(names, carrying, strict=True)
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
        shares = []
        for block in steers:
            name = block.part[0]
            every, part = self.network.layers[name], block.layer
            outputs = int(self._steers[name].sum()) if len(every.rows) == 1 else part.outputs
            number = round(self._whole[name] * outputs / every.outputs)
            shares.append(min(number, block.pairs * part.cells))
        # what carries paths must be able to take the rest
        room = sum(block.pairs * block.layer.cells for block in carrying)
        for number, block in enumerate(steers):
            missing = self.keep - sum(shares) - room
            shares[number] += max(0, min(missing, block.pairs * block.layer.cells - shares[number]))
        ones = [torch.ones(block.layer.shape[2:], dtype=torch.float64) for block in steers]
        return [Share(block, number, cells) for block, number, cells in zip(steers, shares, ones, strict=True)]

    def _plan(self, blocks: list[Block], living: Mapping[Part, Tensor], keep: int, rounds: int) -> Plan:
        if self.counts is None and self.budget == PATHS:
            return plan(self.network, blocks, living, keep, rounds=rounds)
        fixed = self._asked(blocks) if self.counts is not None else self._budgeted(blocks, keep)
        return plan(self.network, blocks, living, keep, fixed, rounds=2)

    def _asked(self, blocks: Sequence[Block]) -> dict[Part, float]:
        """The counts asked for, parts of a layer in proportion to what they hold; steering weights are apart."""
        numbers = {}
        for block in blocks:
            name = block.part[0]
            mine = [other for other in blocks if other.part[0] == name]
            every = self.network.layers[name]
            control = float(self._steers[name].sum()) / every.outputs if name in self._steers else 0.0
            numbers[block.part] = self._whole[name] * (1 - control) * block.pairs / max(1, sum(o.pairs for o in mine))
        return numbers

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
