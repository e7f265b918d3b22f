"""Sums of activations, and constants beside them."""

from typing import Any

from torch import Tensor

from nodepath.paths.call import Call, broadcast
from nodepath.paths.signal import Role
from nodepath.paths.table import register

__all__ = ["beside_constant"]

_MASKED = -100.0
"""Scores of attention with so little added are masked: networks use -inf, the least number of the type, or -100."""


@register("add", "sub", "subtract", "rsub")
def merge(call: Call, input: Any, other: Any, *, alpha: float = 1, out: None = None) -> Tensor:
    """Branches meet: their paths add up, whatever the sign. A constant brings none.

    What is added to attention scores steers with them.
    """
    del alpha, out
    if not (call.tracks(input) and call.tracks(other)):
        return beside_constant(call, input, other, silent=False)
    signals = call.signal(input), call.signal(other)
    shape = broadcast(signals[0].shape, signals[1].shape)
    scores = [signal for signal in signals if signal.role is Role.ATTENTION]
    if len(scores) == 1:
        both = signals[0].counts + signals[1].counts
        return call.attention(call.fit(scores[0].counts.expand_as(both), shape), shape, call.fit(both, shape))
    (left, right), exponent = call.aligned([input, other])
    offsets = None
    if call.tracer.steers and not all(signal.silent for signal in signals):
        standing = call.offsets_at(input, left) + call.offsets_at(other, right)
        offsets = call.fit((standing > 0).to(left), shape)
    made, exponent = call.settle(call.fit(call.semantics.join(left, right), shape), exponent)
    return call.emit(made, exponent, shape=shape, merges=(input, other), offsets=offsets)


@register("addmm", "baddbmm")
def add_product(call: Call, input: Any, left: Any, right: Any, **_: Any) -> Any:
    """A sum with a product of matrices."""
    return call.written_out(lambda: input + left @ right)


@register("addcmul", "addcdiv")
def add_quotient(call: Call, input: Any, left: Any, right: Any, **_: Any) -> Any:
    """A sum with a product or a quotient of two tensors."""
    if "div" in call.function.__name__:
        return call.written_out(lambda: input + left / right)
    return call.written_out(lambda: input + left * right)


def beside_constant(call: Call, input: Any, other: Any, *, silent: bool) -> Tensor:
    """The activation among the two, broadcast to the shape of the result; scores that a constant masks are gone.

    Args:
        call: The call.
        input: An activation, or the constant beside one.
        other: The other of the two.
        silent: What is zero stays zero.
    """
    flowing, constant = (input, other) if call.tracks(input) else (other, input)
    signal = call.signal(flowing)
    shape = broadcast(signal.shape, getattr(constant, "shape", ()))
    counts = call.fit(signal.counts, shape)
    if signal.role is Role.ATTENTION and not silent and isinstance(constant, Tensor):
        counts = call.allowed(counts, ~(constant <= _MASKED))
    elif shape == signal.shape:
        return call.keep(flowing, shares_memory=False, silent=silent)
    return call.emit(counts, signal.exponent, shape=shape, silent=signal.silent and silent)


@register("sum", "cumsum")
def total(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The elements' paths add up; those along a folded axis are one."""
    signal = call.signal(input)
    kwargs.pop("dtype", None)
    shape = call.shape_of(input, *args, **kwargs)
    return call.summed(signal, lambda counts: call.function(counts, *args, **kwargs), shape)
