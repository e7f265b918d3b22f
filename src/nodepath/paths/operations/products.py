"""Products of activations: the value carries the paths, the control steers it."""

from typing import Any

import torch
from torch import Tensor, broadcast_shapes

from nodepath.paths.call import Call
from nodepath.paths.operations.sums import beside_constant
from nodepath.paths.signal import Role
from nodepath.paths.table import register

__all__ = ["control"]

UNDECLARED = (
    "multiplies two activations, and nothing tells which of them carries the paths (in a model of your own, mark the "
    "other one with nodepath.paths.control)"
)


def control(x: Tensor) -> Tensor:
    """Declare that a tensor steers what it is multiplied with. It is returned as it is.

    For a product of two activations neither of which has passed an activation or a bounded function, in your own model:
    `value * nodepath.paths.control(gate)`.

    Args:
        x: Any tensor.
    """
    if torch.overrides.has_torch_function_unary(x):
        made: Tensor = torch.overrides.handle_torch_function(control, (x,), x)
        return made
    return x


@register(control)
def declared(call: Call, x: Tensor) -> Tensor:
    """It steers."""
    return call.keep(x, shares_memory=True, role=Role.STEERING)


@register("mul", "multiply")
def product(call: Call, input: Any, other: Any, **_: Any) -> Tensor:
    """A constant factor keeps the paths; of two activations the one of the higher role is the control.

    Raises:
        UnknownOperationError: Neither factor is of a higher role than the other.
    """
    if not (call.tracks(input) and call.tracks(other)):
        return beside_constant(call, input, other, silent=True)
    left, right = call.signal(input), call.signal(other)
    if left.role is right.role is Role.ATTENTION:
        both = left.counts * right.counts
        shape = broadcast_shapes(left.shape, right.shape)  # type: ignore[no-untyped-call]
        return call.attention(call.fit(both, shape), shape, call.fit(both, shape))
    if left.counts is right.counts and left.shape == right.shape:
        if call.tracer.resolution == "outline":
            call.tracer.switch.used = True  # two parts of one activation look the same there
        return call.keep(input if left.role <= right.role else other, shares_memory=False)  # a function of each element
    if left.role == right.role:
        raise call.unknown(UNDECLARED)
    return call.steer(*((input, other) if left.role < right.role else (other, input)))


@register("div", "divide", "true_divide", "truediv")
def quotient(call: Call, input: Any, other: Any, **_: Any) -> Tensor:
    """The denominator is the control, and kills nothing."""
    if call.tracks(input) and call.tracks(other):
        return call.steer(input, other, kills=False)
    reciprocal = call.function.__name__ in {"__rtruediv__", "__rdiv__"} or not call.tracks(input)
    made = beside_constant(call, input, other, silent=True)
    if reciprocal:
        return call.keep(made, shares_memory=True, role=Role.STEERING, silent=False)
    return made
