"""Functions that only move numbers: flattened, permuted, rolled, cut into windows, repeated, padded with zeros."""

import math
from collections.abc import Callable

import torch
from torch import Size, Tensor

from nodepath.paths.replay.ends import Ends, Move, bring

__all__ = ["moved", "moves_alone"]

_MOST = 1 << 53
"""Larger whole numbers float64 does not hold."""

_SHUFFLED = 3


def moves_alone(run: Callable[..., Tensor], shape: Size, device: torch.device) -> Tensor | None:
    """Which number each one that a function makes is, flat, -1 for zero; None if it does more than move them.

    Asked with all numbers from 1 on, then with the same in other orders, in which a maximum or a median is another one.

    Args:
        run: Of one tensor.
        shape: Of that.
        device: Its.

    Cost: as many calls as orders.
    """
    size = math.prod(shape)
    if device.type == "mps" or size > _MOST:
        return None
    numbers = torch.arange(1, size + 1, dtype=torch.float64, device=device)
    places = run(numbers.view(shape)).flatten()
    index = places.long()
    if not len(index) or not torch.equal(index.double(), places) or int(index.min()) < 0 or int(index.max()) > size:
        return None
    draw = torch.Generator().manual_seed(0)
    shuffled = [torch.randperm(size, generator=draw).to(device) for _ in range(_SHUFFLED)]
    for order in (torch.arange(size - 1, -1, -1, device=device), *shuffled):
        others = torch.cat([numbers.new_zeros(1), numbers[order]])
        if not torch.equal(run(others[1:].view(shape)).flatten(), others[index]):
            return None
    return index - 1


def moved(ends: Ends, index: Tensor) -> tuple[Move, Move]:
    """What such a function does.

    Args:
        ends: Of the step.
        index: See `moves_alone`.
    """
    ((read, slope),), (made, back), factors, adds = ends.reads, ends.made, ends.factors, ends.adds[0]
    source, into, leaving, coming = (each.view(-1) for each in (read, slope, made, back))
    there = (index >= 0).nonzero().flatten()
    index = index[there]
    whole = len(there) == len(leaving)
    inverse = _inverse(index, len(source))

    def forward() -> None:
        if whole:
            torch.index_select(source, 0, index, out=leaving)
        else:
            leaving.zero_().index_copy_(0, there, source.index_select(0, index))
        if factors[0] != 1.0:
            leaving.mul_(factors[0])

    def backward() -> None:
        arriving = coming if whole else coming.index_select(0, there)
        if factors[0] != 1.0:
            arriving = arriving * factors[0]
        if inverse is None:
            bring(into, index, arriving, adds)
        elif adds:
            into.add_(arriving.index_select(0, inverse))
        else:
            torch.index_select(arriving, 0, inverse, out=into)

    return forward, backward


def _inverse(index: Tensor, size: int) -> Tensor | None:
    """Where each of so many numbers goes, if each goes to one place."""
    if len(index) != size:
        return None
    inverse = torch.full_like(index, -1)
    inverse[index] = torch.arange(size, device=index.device)
    return None if bool((inverse < 0).any()) else inverse
