"""Operations that move, copy or drop elements without mixing them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.table import register

VIEWS = (
    "chunk diagonal expand expand_as flatten narrow ravel reshape reshape_as select split split_with_sizes squeeze "
    "tensor_split unbind unflatten unfold unsqueeze"
).split()
PERMUTATIONS = ["movedim", "moveaxis", "permute", "swapaxes", "swapdims", "t", "transpose"]
ATTRIBUTES = ["T", "mT", "H"]
COPIES = (
    "channel_shuffle flip gather index_select pixel_shuffle pixel_unshuffle repeat repeat_interleave roll rot90 tile"
).split()
JOINS = ["cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack"]


@register(*PERMUTATIONS, *(getattr(Tensor, name).__get__ for name in ATTRIBUTES))
def permute(call: Call, *args: Any, **kwargs: Any) -> Any:
    """The same axes in another order; they share memory with the input."""
    return call.rearrange(args, kwargs, shares_memory=True, permutes=True)


@register(*VIEWS, "getitem")
def view(call: Call, *args: Any, **kwargs: Any) -> Any:
    """The same elements in another order or shape; they share memory with the input."""
    return call.rearrange(args, kwargs, shares_memory=True)


@register("view", "view_as")
def reshape(call: Call, *args: Any, **kwargs: Any) -> Any:
    """As above; counts may lie otherwise in memory than the activation would, so they are reshaped."""
    function = {"view": Tensor.reshape, "view_as": Tensor.reshape_as}[call.function.__name__]
    return replace(call, function=function).rearrange(args, kwargs, shares_memory=True)


@register(*COPIES)
def copy(call: Call, *args: Any, **kwargs: Any) -> Any:
    """Elements moved or repeated into new memory."""
    return call.rearrange(args, kwargs)


@register(*JOINS)
def join(call: Call, tensors: Sequence[Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """Side by side; what does not depend on the input brings no paths."""
    counts, exponent = call.aligned(tensors)
    return call.emit(call.function(counts, *args, **kwargs), exponent)


@register("pad")
def pad(call: Call, input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Padding by a constant brings no paths, whatever the constant; the other modes repeat elements."""
    del value
    signal = call.signal(input)
    return call.emit(F.pad(signal.counts, pad, mode), signal.exponent)


@register(Tensor.__setitem__)
def write(call: Call, input: Tensor, index: Any, value: Any) -> None:
    """Elements replaced in place."""
    (base, new), exponent = call.aligned([input, value if isinstance(value, Tensor) else torch.zeros(())])
    base = base.clone()
    base[index] = new
    call.overwrite(input, base, exponent)
