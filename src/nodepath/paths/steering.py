"""What a control does to what it steers, and how liveness runs back from there to the control.

Controls carry no paths, so counts have no slope in them; reachability has one.
"""

from typing import Any

import torch
from torch import Tensor

__all__ = ["Switch", "attached", "coupled", "gate"]


class Switch:
    """Whether liveness runs back into controls, or through values alone."""

    def __init__(self) -> None:
        self.open = True
        self.used = False

    def pass_back(self, slope: Tensor) -> Tensor:
        """1 where what is steered lives; nothing if the switch is shut."""
        return (slope > 0.5).to(slope.dtype) if self.open else torch.zeros_like(slope)


class _Gate(torch.autograd.Function):
    """1 where the control lets pass: where it is reached, or not zero though unreached."""

    @staticmethod
    def forward(ctx: Any, counts: Tensor, silent: bool, switch: Switch) -> Tensor:
        ctx.switch = switch
        return (counts > 0.5).to(counts.dtype) if silent else torch.ones_like(counts)

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


def gate(counts: Tensor, *, silent: bool, boolean: bool, switch: Switch) -> Tensor | None:
    """What a control multiplies counts by; None: by 1.

    Args:
        counts: Of the control.
        silent: It is zero where it is not reached.
        boolean: Reachability is sent, whose slopes run back into the control.
        switch: Whether they do.
    """
    switch.used = True
    if boolean:
        made: Tensor = _Gate.apply(counts, silent, switch)
        return made
    return (counts.detach() > 0).to(counts.dtype) if silent else None


def attached(pattern: Tensor, contributions: Tensor, switch: Switch) -> Tensor:
    """`pattern`, whose liveness runs back to `contributions`, of a shape that broadcasts to its own."""
    made: Tensor = _Attached.apply(pattern, contributions, switch)
    return made


def coupled(counts: Tensor, dim: int) -> Tensor:
    """The same counts; where one lives, all along `dim` do that may be read."""
    made: Tensor = _Coupled.apply(counts, dim)
    return made
