"""Weights of one layer, spread evenly between its living channels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nodepath.methods.even.cells import drawn_cells
from nodepath.methods.even.living import Block
from nodepath.methods.even.pairs import even_pairs

__all__ = ["Cover", "equal_shares", "even_layer"]


@dataclass(frozen=True)
class Cover:
    """How many weights read and write each channel so far, so that what is left out comes first next time.

    Attributes:
        read: (channels,), integers; changed in place.
        written: (channels,), integers; changed in place.
    """

    read: Tensor
    written: Tensor

    def add(self, block: Block, kernels: Tensor) -> None:
        """Count what a layer reads and writes.

        Args:
            block: The layer.
            kernels: Weights in each kernel (groups, outputs of a group, inputs of a group).
        """
        for counts, channels, axis in ((self.read, block.reads, 1), (self.written, block.writes, 2)):
            known = channels >= 0
            counts.index_add_(0, channels[known], kernels.sum(axis).flatten()[known])


def even_layer(block: Block, number: int, cells: Tensor, cover: Cover, generator: torch.Generator) -> Tensor:
    """A mask whose weights are spread over pairs of living channels as evenly as can be, on both sides.

    Each pair has a weight before any has two, each group of a grouped convolution as many as the next. Which cells of a
    kernel are kept is drawn in proportion to `cells`.

    Args:
        block: The layer, and which of its channels live.
        number: How many weights; at most the living pairs times the cells that carry paths.
        cells: How gladly each cell of a kernel is kept, >= 0, of the kernel's shape.
        cover: What has been read and written before; this layer is added.
        generator: On the CPU.

    Returns:
        Bool, of the part's shape.

    Cost: O(layer).
    """
    layer = block.layer
    kernels = torch.zeros(layer.groups, layer.outputs // layer.groups, layer.inputs // layer.groups, dtype=torch.int64)
    if layer.inputs == layer.groups:
        _depthwise(block, kernels, number, generator)
    else:
        needs = [
            (sole | (channels < 0) | (count[channels.clamp(min=0)] == 0)).chunk(layer.groups)
            for sole, channels, count in (
                (block.sole_inputs, block.reads, cover.read),
                (block.sole_outputs, block.writes, cover.written),
            )
        ]
        sizes = torch.tensor([len(inputs) * len(outputs) for inputs, outputs in block.by_group])
        room = sizes * int((cells > 0).sum())
        for group, share in enumerate(equal_shares(number, room, generator)):
            inputs, outputs = block.by_group[group]
            if share:
                every, rest = divmod(share, len(inputs) * len(outputs))
                pairs = even_pairs(needs[0][group][inputs], needs[1][group][outputs], rest, generator)
                kernels[group, outputs.unsqueeze(1), inputs] = pairs.long() + every
    cover.add(block, kernels)
    chosen = drawn_cells(kernels.flatten(), cells.flatten(), generator)
    return layer.weights(chosen.reshape(*kernels.shape, -1))


def _depthwise(block: Block, kernels: Tensor, number: int, generator: torch.Generator) -> None:
    """Each output has one input, so that all pairs are alike."""
    alive = (block.outputs.reshape(block.layer.groups, -1) & block.inputs.unsqueeze(1)).nonzero()
    every, rest = divmod(number, max(1, len(alive)))
    counts = torch.full((len(alive),), every)
    counts[torch.randperm(len(alive), generator=generator)[:rest]] += 1
    kernels[alive[:, 0], alive[:, 1], 0] = counts


def equal_shares(number: int, room: Tensor, generator: torch.Generator) -> list[int]:
    """As equal numbers as the room allows; who gets one more is drawn.

    Args:
        number: Their sum.
        room: The most that each can be, integers (shares,).
        generator: On the CPU.
    """
    shares = torch.zeros_like(room)
    left = min(number, int(room.sum()))
    while left:
        open_groups = (shares < room).nonzero().flatten()
        open_groups = open_groups[torch.randperm(len(open_groups), generator=generator)]
        each, extra = divmod(left, len(open_groups))
        gift = torch.full_like(open_groups, each)
        gift[:extra] += 1
        gift = gift.minimum(room[open_groups] - shares[open_groups])
        shares[open_groups] += gift
        left -= int(gift.sum())
    return [int(share) for share in shares]
