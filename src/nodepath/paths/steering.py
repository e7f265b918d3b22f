"""What a control does to what it steers, and how liveness runs back from there to the control.

Controls carry no paths, so counts have no slope in them; reachability has one.
"""

from typing import Any

import torch
from torch import Tensor

from nodepath.paths.conversion import as_numbers

__all__ = ["Switch", "attached", "coupled", "gate"]


class Switch:
    """Whether liveness runs back into controls, or through values alone."""

    def __init__(self) -> None:
        self.open = True
        self.used = False

    def pass_back(self, slope: Tensor) -> Tensor:
        """1 where what is steered lives; nothing if the switch is shut."""
        return as_numbers(slope > 0.5, slope.dtype) if self.open else torch.zeros_like(slope)


class _Gate(torch.autograd.Function):
    """What a control lets pass, which lives where what it steers does."""

    @staticmethod
    def forward(ctx: Any, counts: Tensor, pattern: Tensor, switch: Switch) -> Tensor:
        ctx.switch = switch
        return pattern.expand_as(counts).clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        return ctx.switch.pass_back(slopes[0]), None, None


class _Attached(torch.autograd.Function):
    """A pattern that does not depend on the counts of what made it, which lives where the pattern does."""

    @staticmethod
    def forward(ctx: Any, pattern: Tensor, contributions: Tensor, switch: Switch) -> Tensor:
        ctx.switch, ctx.shape = switch, contributions.shape
        return pattern.clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, None]:
        back = ctx.switch.pass_back(slopes[0])
        return back, back.sum_to_size(ctx.shape), None


class _Coupled(torch.autograd.Function):
    """Along an axis that softmax normalises, each entry steers all."""

    @staticmethod
    def forward(ctx: Any, counts: Tensor, dim: int) -> Tensor:
        ctx.save_for_backward(counts)
        ctx.dim = dim
        return counts.clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (counts,) = ctx.saved_tensors
        return slopes[0].amax(ctx.dim, keepdim=True) * (counts > 0.5), None


def gate(counts: Tensor, offsets: Tensor | None, *, boolean: bool, switch: Switch) -> Tensor | None:
    """What a control multiplies counts by: 1 where it is reached, or not zero though unreached; None: by 1.

    Args:
        counts: Of the control.
        offsets: Of the control, see `Signal`.
        boolean: Reachability is sent, whose slopes run back into the control.
        switch: Whether they do.
    """
    switch.used = True
    everywhere = offsets is not None and offsets.numel() == 1
    if everywhere and not boolean:
        return None
    pattern = counts.detach() > 0
    if offsets is not None:
        pattern = pattern | (offsets > 0)
    if not boolean:
        return as_numbers(pattern, counts.dtype)
    made: Tensor = _Gate.apply(counts, as_numbers(pattern, counts.dtype), switch)
    return made


def attached(pattern: Tensor, contributions: Tensor, switch: Switch) -> Tensor:
    """`pattern`, whose liveness runs back to `contributions`, of a shape that broadcasts to its own."""
    made: Tensor = _Attached.apply(pattern, contributions, switch)
    return made


def coupled(counts: Tensor, dim: int) -> Tensor:
    """The same counts; where one lives, all along `dim` do that may be read."""
    made: Tensor = _Coupled.apply(counts, dim)
    return made
