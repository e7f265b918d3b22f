"""Choosing between elements: by a constant, or by size."""

from typing import Any

import torch
from torch import Tensor

from nodepath.paths.call import Call, broadcast
from nodepath.paths.table import register


@register("where")
def where(call: Call, condition: Tensor, input: Any, other: Any) -> Tensor:
    """What a constant condition chooses; a condition that depends on the input leaves both, and is their control."""
    chosen = condition
    if call.tracks(condition):
        made = call.written_out(lambda: input + other) if call.tracks(input) and call.tracks(other) else None
        flowing = made if made is not None else input if call.tracks(input) else other
        return (
            call.steer(flowing, condition, kills=False)
            if call.tracks(flowing)
            else call.keep(condition, shares_memory=False)
        )
    parts = []
    for value, places, instead in ((input, chosen, other), (other, ~chosen, input)):
        if call.tracks(value):
            parts.append(_kept(call, value, places, 0 if call.tracks(instead) else instead))
    return parts[0] if len(parts) == 1 else call.written_out(torch.add, *parts)


@register("masked_fill")
def masked_fill(call: Call, input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """What is filled in brings no paths."""
    if call.tracks(mask):
        return call.steer(input, mask, kills=False)
    return _kept(call, input, ~mask, value)


@register("maximum", "minimum", "fmax", "fmin")
def larger(call: Call, input: Any, other: Any) -> Any:
    """Two branches meet, as in a sum: either may win."""
    if call.tracks(input) and call.tracks(other):
        return call.written_out(torch.add, input, other)
    return call.keep(input if call.tracks(input) else other, shares_memory=False, silent=False)


@register("max", "min")
def extremes(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Of two tensors, the larger elements; along an axis, pooling, with indices that may not be used.

    Raises:
        UnknownOperationError: The indices are used.
    """
    other = args[0] if args else kwargs.get("other")
    if isinstance(other, Tensor):
        return call.written_out(torch.maximum, input, other)
    if other is None and "dim" not in kwargs:
        return call.written_out(torch.amax, input)
    dim = kwargs.get("dim", other)
    keepdim = kwargs.get("keepdim", args[1] if len(args) > 1 else False)
    values = call.written_out(torch.amax, input, dim, keepdim)
    kind = torch.return_types.max if call.function.__name__ == "max" else torch.return_types.min
    return kind((values, call.unusable(values, "uses the indices of the largest elements, which depend on the data")))


def _kept(call: Call, value: Tensor, places: Tensor, instead: Any) -> Tensor:
    """The value where `places` are, and a constant elsewhere."""
    signal = call.signal(value)
    shape = broadcast(signal.shape, places.shape)
    counts = call.fit(signal.counts, shape)
    offsets = None
    if call.tracer.steers:
        here = call.allowed(call.fit(call.offsets_at(value, signal.counts), shape), places)
        offsets = torch.maximum(here, call.allowed(call.offsets_at(instead, counts), ~places))
        offsets = offsets if bool(offsets.any()) else None
    made = call.allowed(counts, places)
    return call.emit(made, signal.exponent, shape=shape, role=signal.role, silent=offsets is None, offsets=offsets)
