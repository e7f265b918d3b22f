"""Sums and products of activations."""

from typing import Any

from torch import Tensor, broadcast_shapes

from nodepath.paths.call import Call
from nodepath.paths.table import register


@register("add", "sub", "subtract", "rsub")
def merge(call: Call, input: Any, other: Any, *, alpha: float = 1, out: None = None) -> Tensor:
    """Branches meet: their paths add up, whatever the sign. A constant brings none."""
    del alpha, out
    if call.tracks(input) and call.tracks(other):
        (left, right), exponent = call.aligned([input, other])
        return call.emit(*call.settle(left + right, exponent), merges=(input, other))
    return _beside_constant(call, input, other)


@register("mul", "multiply", "div", "divide", "true_divide", "truediv")
def scale(call: Call, input: Any, other: Any, *_: Any, **__: Any) -> Tensor:
    """A constant factor keeps the paths.

    Raises:
        UnknownOperationError: Both factors depend on the input.
    """
    if call.tracks(input) and call.tracks(other):
        raise call.unknown("multiplies two activations, and which of them carries the paths is not declared")
    return _beside_constant(call, input, other)


def _beside_constant(call: Call, input: Any, other: Any) -> Tensor:
    """The activation among the two, broadcast to the shape of the result."""
    flowing, constant = (input, other) if call.tracks(input) else (other, input)
    signal = call.signal(flowing)
    shape: tuple[int, ...] = broadcast_shapes(  # type: ignore[no-untyped-call]
        signal.counts.shape, getattr(constant, "shape", ())
    )
    if shape == signal.counts.shape:
        return call.keep(flowing, shares_memory=False)
    return call.emit(signal.counts.expand(shape), signal.exponent)


@register("sum")
def total(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The elements' paths add up."""
    signal = call.signal(input)
    kwargs.pop("dtype", None)
    return call.emit(*call.settle(signal.counts.sum(*args, **kwargs), signal.exponent))
