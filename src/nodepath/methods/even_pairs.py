"""Pairs of inputs and outputs whose degrees are as equal as can be on both sides."""

import torch
from torch import Tensor

__all__ = ["even_pairs"]


def even_pairs(needed_inputs: Tensor, needed_outputs: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """Draw distinct pairs such that all outputs occur equally often, and all inputs do, but for one.

    Inputs are dealt like cards: all of them in a random order, then all again in another, and each output takes what
    comes next; what it already holds is dealt later. Of more than half of all pairs the absent ones are drawn so.

    Args:
        needed_inputs: Which inputs come first where not all can occur (inputs,), bool.
        needed_outputs: The same of the outputs (outputs,), bool.
        number: How many pairs, 0 .. inputs * outputs.
        generator: On the CPU.

    Returns:
        Bool (outputs, inputs).

    Cost: O(number + outputs + inputs).
    """
    inputs, outputs = len(needed_inputs), len(needed_outputs)
    if number > inputs * outputs - number:
        return ~even_pairs(~needed_inputs, ~needed_outputs, inputs * outputs - number, generator)
    each, extra = divmod(number, outputs)
    degrees = torch.full((outputs,), each)
    degrees[_shuffled(needed_outputs, generator)[:extra]] += 1
    ends = degrees.cumsum(0)
    dealt = torch.empty(number, dtype=torch.int64)
    place = 0
    while place < number:
        hand = _shuffled(needed_inputs, generator)
        size = min(inputs, number - place)
        # the output in whose turn a new deal begins holds some cards already
        turn = int(torch.searchsorted(ends, place, right=True))
        begun = int(ends[turn] - degrees[turn])
        if begun < place:
            held = torch.zeros(inputs, dtype=torch.bool)
            held[dealt[begun:place]] = True
            missing = int(ends[turn]) - place
            free = hand[~held[hand]]
            rest = torch.cat([free[missing:], hand[held[hand]]])
            hand = torch.cat([free[:missing], rest[torch.randperm(len(rest), generator=generator)]])
        dealt[place : place + size] = hand[:size]
        place += size
    pairs = torch.zeros(outputs, inputs, dtype=torch.bool)
    pairs[torch.repeat_interleave(torch.arange(outputs), degrees), dealt] = True
    return pairs


def _shuffled(needed: Tensor, generator: torch.Generator) -> Tensor:
    """All places in a random order, the needed ones first."""
    order = torch.randperm(len(needed), generator=generator)
    return (
        order if bool(needed.all()) or not bool(needed.any()) else order[(~needed[order]).long().argsort(stable=True)]
    )
