"""Pairs of inputs and outputs whose degrees are as equal as can be on both sides."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["even_pairs"]

Places = NDArray[np.int64]


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
    total = len(needed_inputs) * len(needed_outputs)
    if number > total - number:
        return ~even_pairs(~needed_inputs, ~needed_outputs, total - number, generator)
    # hundreds of small steps a layer, which numpy takes in a fifth of the time
    draws = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))
    degrees = _degrees(needed_outputs.numpy(), number, draws)
    dealt = _dealt(needed_inputs.numpy(), degrees, draws)
    pairs = np.zeros((len(degrees), len(needed_inputs)), dtype=bool)
    pairs[np.repeat(np.arange(len(degrees)), degrees), dealt] = True
    return torch.from_numpy(pairs)


def _degrees(needed: NDArray[np.bool_], number: int, draws: np.random.Generator) -> Places:
    """How many pairs each output has."""
    each, extra = divmod(number, len(needed))
    degrees = np.full(len(needed), each)
    degrees[_shuffled(needed, draws)[:extra]] += 1
    return degrees


def _dealt(needed: NDArray[np.bool_], degrees: Places, draws: np.random.Generator) -> Places:
    """The inputs of all outputs, one output after the other."""
    ends = degrees.cumsum()
    dealt = np.empty(int(ends[-1]), dtype=np.int64)
    place = 0
    while place < len(dealt):
        hand = _shuffled(needed, draws)
        # the output in whose turn a new deal begins holds some cards already
        turn = int(np.searchsorted(ends, place, side="right"))
        begun, missing = int(ends[turn] - degrees[turn]), int(ends[turn]) - place
        if begun < place:
            held = np.zeros(len(needed), dtype=bool)
            held[dealt[begun:place]] = True
            second = held[hand]
            free = hand[~second]
            rest = np.concatenate([free[missing:], hand[second]])
            hand = np.concatenate([free[:missing], draws.permutation(rest)])
        size = min(len(hand), len(dealt) - place)
        dealt[place : place + size] = hand[:size]
        place += size
    return dealt


def _shuffled(needed: NDArray[np.bool_], draws: np.random.Generator) -> Places:
    """All places in a random order, the needed ones first."""
    order = draws.permutation(len(needed))
    return order[np.argsort(~needed[order], kind="stable")]
