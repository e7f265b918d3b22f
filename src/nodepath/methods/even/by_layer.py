"""Where the weights of each layer are given: what its blocks get of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from nodepath.budgets import apportion
from nodepath.methods.even.living import Block
from nodepath.methods.even.shared_out import shared_out

__all__ = ["of_steering", "within_layers"]


def of_steering(
    steers: Sequence[Block], wanted: Sequence[float], carrying: Sequence[Block], counts: Mapping[str, int]
) -> list[int]:
    """Weights of each block that steers: what is wanted, but more where the rest of its layer cannot hold the rest.

    Args:
        steers: Blocks that steer.
        wanted: How many weights each of them wants, real numbers.
        carrying: Blocks that carry paths.
        counts: Parameter name -> weights of the layer.
    """
    rooms = [block.pairs * block.layer.cells for block in steers]
    beside = [block.pairs * block.layer.cells for block in carrying]
    totals: dict[str, int] = {}
    for name in dict.fromkeys(block.part[0] for block in steers):
        asked = sum(want for want, block in zip(wanted, steers, strict=True) if block.part[0] == name)
        rest = sum(room for room, block in zip(beside, carrying, strict=True) if block.part[0] == name)
        totals[name] = min(counts[name], max(round(asked), counts[name] - rest))
    return within_layers(steers, wanted, rooms, totals)


def within_layers(
    blocks: Sequence[Block], weights: Sequence[float], rooms: Sequence[int], totals: Mapping[str, int]
) -> list[int]:
    """Numbers of weights in proportion among the blocks of each layer, that sum to its total or fill its rooms.

    Args:
        blocks: The blocks.
        weights: In which proportion, >= 0.
        rooms: The most that each holds.
        totals: Parameter name -> what its blocks share.
    """
    numbers = [0] * len(blocks)
    for name in dict.fromkeys(block.part[0] for block in blocks):
        mine = [place for place, block in enumerate(blocks) if block.part[0] == name]
        highs, shares = [rooms[place] for place in mine], [weights[place] for place in mine]
        # whatever has room takes what else would be left over
        amounts = shared_out(np.maximum(shares, 1e-9), np.zeros(len(mine)), np.array(highs, dtype=float), totals[name])
        names = [str(place) for place in mine]
        caps = dict(zip(names, highs, strict=True))
        fitted = apportion(dict(zip(names, map(float, amounts), strict=True)), caps, min(totals[name], sum(highs)))
        for place in mine:
            numbers[place] = fitted[str(place)]
    return numbers
