"""Operations that move, copy or drop elements without mixing them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nodepath.paths.call import Call, broadcast
from nodepath.paths.signal import Role
from nodepath.paths.table import register

VIEWS = (
    "chunk diagonal expand flatten narrow ravel reshape select split split_with_sizes squeeze "
    "tensor_split unbind unflatten unsqueeze"
).split()
PERMUTATIONS = ["movedim", "moveaxis", "permute", "swapaxes", "swapdims", "t", "transpose"]
ATTRIBUTES = ["T", "mT", "H"]
COPIES = (
    "channel_shuffle flip gather index_select pixel_unshuffle repeat repeat_interleave roll rot90 take_along_dim tile "
    "tril triu"
).split()
JOINS = {
    "cat": None,
    "concat": None,
    "concatenate": None,
    "stack": None,
    "hstack": None,
    "vstack": None,
    "dstack": None,
}


@register(*PERMUTATIONS, *(getattr(Tensor, name).__get__ for name in ATTRIBUTES))
def permute(call: Call, *args: Any, **kwargs: Any) -> Any:
    """The same axes in another order; they share memory with the input."""
    return call.rearrange(args, kwargs, shares_memory=True, permutes=True)


@register(*VIEWS, "getitem", Tensor.unfold)
def view(call: Call, *args: Any, **kwargs: Any) -> Any:
    """The same elements in another order or shape; they share memory with the input."""
    return call.rearrange(args, kwargs, shares_memory=True)


@register("view")
def reshape(call: Call, *args: Any, **kwargs: Any) -> Any:
    """As above; counts may lie otherwise in memory than the activation would, so they are reshaped."""
    return replace(call, function=Tensor.reshape).rearrange(args, kwargs, shares_memory=True)


@register("expand_as", "reshape_as", "view_as")
def shaped_as(call: Call, input: Tensor, other: Tensor) -> Any:
    """As above; the other tensor lends its shape and brings no paths."""
    function = Tensor.expand if call.function.__name__ == "expand_as" else Tensor.reshape
    if not call.tracks(input):
        return function(input, other.shape)
    alone = replace(call, function=function, inputs=(call.signal(input),))
    return alone.rearrange((input, other.shape), {}, shares_memory=True)


@register(*COPIES, F.unfold)
def copy(call: Call, *args: Any, **kwargs: Any) -> Any:
    """Elements moved or repeated into new memory."""
    return call.rearrange(args, kwargs)


@register("pixel_shuffle")
def pixel_shuffle(call: Call, input: Tensor, upscale_factor: int) -> Any:
    """Channels become pixels; where pixels are folded, the paths of the channels that become one add up."""
    signal = call.signal(input)
    if not (call.folds and all(signal.counts.shape[axis] == 1 for axis in (-1, -2))):
        return call.rearrange((input, upscale_factor), {})
    full = signal.unfolded(-3).shape

    def add_up(counts: Tensor) -> Tensor:
        return counts.expand(full).reshape(*full[:-3], -1, upscale_factor**2, 1, 1).sum(-3)

    return call.summed(signal, add_up, call.shape_of(input, upscale_factor))


@register(F.fold)
def overlap(
    call: Call, input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Windows are laid over each other, and their paths add up; folded, the cells of a window are parallel edges."""
    signal = call.signal(input)
    options = (output_size, kernel_size, dilation, padding, stride)
    shape = call.shape_of(input, *options)
    full = signal.unfolded(-2).shape

    def add_up(counts: Tensor) -> Tensor:
        rows = counts.expand(full)
        if call.folds and full[-1] == 1:
            return rows.reshape(*full[:-2], shape[-3], -1, 1).sum(-2).unsqueeze(-1)
        return F.fold(rows, *options)

    return call.summed(signal, add_up, shape)


@register(*JOINS)
def join(call: Call, tensors: Sequence[Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """Side by side; what does not depend on the input brings no paths. Along a folded axis, paths add up.

    Raises:
        UnknownOperationError: Attention scores beside something that carries paths.
    """
    roles = {signal.role for signal in call.inputs}
    if Role.ATTENTION in roles and len(roles) > 1:
        raise call.unknown("puts a product of two activations beside what carries paths, so which of them does is open")
    counts, exponent = call.aligned(tensors)
    silent = all(signal.silent for signal in call.inputs) and all(call.tracks(t) or _is_zero(call, t) for t in tensors)
    apart = None if silent or not call.tracer.steers else list(map(call.offsets_at, tensors, counts))
    lay, shape, adds = _layout(call, tensors, counts, args, kwargs)
    made, offsets = lay(counts), None if apart is None else (lay(apart) > 0).to(counts[0])
    if adds:
        made, exponent = call.settle(made, exponent)
    return call.emit(made, exponent, shape=shape, silent=silent, offsets=offsets)


def _layout(
    call: Call, tensors: Sequence[Tensor], counts: Sequence[Tensor], args: Any, kwargs: Any
) -> tuple[Callable[[Sequence[Tensor]], Tensor], torch.Size, bool]:
    """How counts are laid side by side, the shape of the result, and whether they add up."""
    metas = [torch.empty(tensor.shape, device="meta") for tensor in tensors]
    shape = call.function(metas, *args, **kwargs).shape
    axis = _joined_axis(call, tensors, shape, args, kwargs)
    common = list(broadcast(*(part.shape for part in counts))) if axis is None else []
    if not call.folds:
        return lambda parts: call.function(parts, *args, **kwargs), shape, False
    if axis is None:  # a new axis: of length 1 no longer
        return lambda parts: call.function([part.expand(common) for part in parts], *args, **kwargs), shape, False
    flowing = [signal for signal in map(call.tracer.signal, tensors) if signal is not None]
    if any(signal.counts.shape[axis] == 1 < signal.shape[axis] for signal in flowing):
        held = [i for i, part in enumerate(counts) if part.shape[axis]] or [0]  # what is empty is folded as well
        # what was parted along it and is joined again is one
        first, *rest = [i for i in held if not any(counts[i] is counts[j] for j in held if j < i)]

        def added(parts: Sequence[Tensor]) -> Tensor:
            folded = [parts[i].sum(axis, keepdim=True) for i in (first, *rest)]  # some may not have been
            return sum(folded[1:], folded[0])

        return added, shape, True
    sizes = [max(part.shape[i] for part in counts) for i in range(len(shape))]

    def side_by_side(parts: Sequence[Tensor]) -> Tensor:
        full = [
            part.expand([*sizes[:axis], tensor.shape[axis], *sizes[axis + 1 :]])
            for part, tensor in zip(parts, tensors, strict=True)
        ]
        return torch.cat(full, axis)

    return side_by_side, shape, False


def _is_zero(call: Call, constant: Tensor) -> bool:
    """Zero, and no parameter, which would not stay so."""
    learned = isinstance(constant, nn.Parameter) or call.tracer.origin_of(constant) is not None
    return not learned and not bool(constant.any())


def _joined_axis(call: Call, tensors: Sequence[Tensor], shape: torch.Size, args: Any, kwargs: Any) -> int | None:
    """Along which axis the tensors are laid side by side; None: along a new one."""
    if len(shape) != tensors[0].ndim:
        return None
    name = call.function.__name__
    if name == "vstack":
        return 0
    if name in {"hstack", "dstack"}:
        return 1 if name == "hstack" else 2
    axis = args[0] if args else kwargs.get("dim", kwargs.get("axis", 0))
    return int(axis) % len(shape)


@register("pad")
def pad(call: Call, input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Padding by a constant brings no paths, whatever the constant; the other modes repeat elements."""
    signal = call.signal(input)
    shape = call.shape_of(input, pad, mode)
    silent = signal.silent and not value
    sides = list(pad)
    for i in range(len(sides) // 2):
        if call.folded(signal)[-1 - i]:
            sides[2 * i : 2 * i + 2] = [0, 0]
    return call.emit(F.pad(signal.counts, sides, mode), signal.exponent, shape=shape, silent=silent)


@register(Tensor.__setitem__)
def write(call: Call, input: Tensor, index: Any, value: Any) -> None:
    """Elements replaced in place.

    Raises:
        UnknownOperationError: Axes are folded, and only a part of one is written.
    """
    (base, new), exponent = call.aligned([input, value if isinstance(value, Tensor) else torch.zeros(())])
    silent = all(s.silent for s in call.inputs) and (call.tracks(value) or _is_zero(call, torch.as_tensor(value)))
    if call.folds:
        touched = torch.zeros(input.shape, dtype=torch.bool)
        touched[index] = True
        if call.tracer.resolution != "outline" and not touched.all():
            raise call.unknown(
                "writes into a part of an activation, some of whose axes are folded; use resolution='pixel'"
            )
        counts = call.fit(new if call.tracks(value) else base, input.shape)
        call.overwrite(input, counts, exponent, silent=silent)
        return
    base = base.clone()
    base[index] = new
    call.overwrite(input, base, exponent, silent=silent)
