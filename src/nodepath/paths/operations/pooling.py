"""Pooling: by definition every input of a window is connected to its output."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.operations.windows import along, window
from nodepath.paths.table import register

_ADAPTIVE_MEAN: dict[int, Callable[..., Tensor]] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}
_ADAPTIVE_MAX: dict[int, Callable[..., Tensor]] = {
    1: F.adaptive_max_pool1d,
    2: F.adaptive_max_pool2d,
    3: F.adaptive_max_pool3d,
}


_INDICES = "uses the indices of the maxima, which depend on the data"


@register("avg_pool1d", "avg_pool2d", "avg_pool3d")
def average(
    call: Call,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """A window's paths add up, or are averaged if the semantics says so."""
    signal = call.signal(input)
    stride = kernel_size if stride is None or stride == [] else stride
    shape = call.shape_of(input, kernel_size, stride, padding, ceil_mode)
    kernel, step, border = _real(call, call.folded(signal), (kernel_size, 1), (stride, 1), (padding, 0))
    extra = () if len(kernel) == 1 else (divisor_override,)

    def pool(counts: Tensor) -> Tensor:
        if call.semantics.average == "sum":
            return _window_sum(counts, kernel, step, border, ceil_mode)
        made: Tensor = call.function(counts, kernel, step, border, ceil_mode, count_include_pad, *extra)
        return made

    return call.summed(signal, pool, shape)


@register("lp_pool1d", "lp_pool2d", "lp_pool3d")
def power_average(
    call: Call, input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """As average pooling: every input of a window is connected to its output."""
    del norm_type
    pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[_dims(call)]
    return call.written_out(pool, input, kernel_size, stride, 0, ceil_mode)  # type: ignore[no-any-return]


@register("max_pool1d", "max_pool2d", "max_pool3d")
def maximum(
    call: Call,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """A window's paths add up, or the largest count wins if the semantics says so."""
    signal = call.signal(input)
    stride = kernel_size if stride is None or stride == [] else stride
    shape = call.shape_of(input, kernel_size, stride, padding, dilation, ceil_mode)
    options = ((kernel_size, 1), (stride, 1), (padding, 0), (dilation, 1))
    kernel, step, border, spacing = _real(call, call.folded(signal), *options)

    def pool(counts: Tensor) -> Tensor:
        if call.picks_largest():
            made: Tensor = call.function(counts, kernel, step, border, spacing, ceil_mode)
            return made
        if all(d == 1 for d in spacing):
            return _window_sum(counts, kernel, step, border, ceil_mode)
        for axis, (k, s, p, d) in enumerate(zip(kernel, step, border, spacing, strict=True), -len(kernel)):
            size, outputs = counts.shape[axis], 1 if call.folded(signal)[axis] else shape[axis]
            counts = along(counts, axis, window(size, outputs, k, s, p, d))
        return counts

    made = call.summed(signal, pool, shape)
    return (made, call.unusable(made, _INDICES)) if return_indices else made


@register("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive_average(call: Call, input: Tensor, output_size: Any) -> Tensor:
    """A window's paths add up, or are averaged if the semantics says so."""
    return _adaptive(call, input, output_size, largest=False, mean=call.semantics.average == "mean")


@register("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_maximum(
    call: Call, input: Tensor, output_size: Any, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """A window's paths add up, or the largest count wins if the semantics says so."""
    made = _adaptive(call, input, output_size, largest=call.picks_largest(), mean=False)
    return (made, call.unusable(made, _INDICES)) if return_indices else made


@register("amax", "amin")
def extreme(call: Call, input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """Max pooling over whole axes."""
    signal = call.signal(input)
    reduce = Tensor.amax if call.picks_largest() else Tensor.sum
    return call.summed(signal, lambda counts: reduce(counts, dim, keepdim), call.shape_of(input, dim, keepdim))


@register("mean")
def mean(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Global average pooling written by hand."""
    signal = call.signal(input)
    kwargs.pop("dtype", None)
    reduce = Tensor.mean if call.semantics.average == "mean" else Tensor.sum
    return call.summed(signal, lambda counts: reduce(counts, *args, **kwargs), call.shape_of(input, *args, **kwargs))


def _adaptive(call: Call, input: Tensor, output_size: Any, *, largest: bool, mean: bool) -> Tensor:
    signal, dims = call.signal(input), _dims(call)
    own = signal.shape[-dims:]
    asked = _tuple(output_size, dims)
    shape = torch.Size([*signal.shape[:-dims], *(b if a is None else a for a, b in zip(asked, own, strict=True))])
    folded = call.folded(signal)[-dims:]
    sides = [1 if fold else size for fold, size in zip(folded, shape[-dims:], strict=True)]

    def pool(counts: Tensor) -> Tensor:
        # of channels that lie last, torch restrides what it makes in place, which nothing that records can follow
        pooled: Tensor = (_ADAPTIVE_MAX if largest else _ADAPTIVE_MEAN)[dims](counts.contiguous(), sides)
        return pooled if largest or mean else pooled * _adaptive_window_sizes(counts, dims, pooled)

    return call.summed(signal, pool, shape)


def _real(call: Call, folded: Sequence[bool], *options: tuple[Any, int]) -> list[tuple[int, ...]]:
    """Options of a window, one number an axis; on folded axes, those of a window that is a single element."""
    dims = _dims(call)
    return [
        tuple(trivial if fold else own for own, fold in zip(_tuple(value, dims), folded[-dims:], strict=True))
        for value, trivial in options
    ]


def _window_sum(
    counts: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], ceil_mode: bool
) -> Tensor:
    if len(kernel) == 1:  # the only one without a divisor of its own
        size, step, border = (1, *kernel), (1, *stride), (0, *padding)
        return F.avg_pool2d(counts.unsqueeze(-2), size, step, border, ceil_mode, divisor_override=1).squeeze(-2)
    pool = F.avg_pool2d if len(kernel) == 2 else F.avg_pool3d
    return pool(counts, kernel, stride, padding, ceil_mode, divisor_override=1)


def _adaptive_window_sizes(counts: Tensor, dims: int, pooled: Tensor) -> Tensor:
    result = counts.new_ones(())
    for axis in range(dims):
        size, outputs = counts.shape[axis - dims], pooled.shape[axis - dims]
        cells = [-(-(o + 1) * size // outputs) - o * size // outputs for o in range(outputs)]
        shape = [1] * dims
        shape[axis] = outputs
        result = result * torch.tensor(cells, dtype=counts.dtype, device=counts.device).reshape(shape)
    return result


def _dims(call: Call) -> int:
    """1, 2 or 3, as the function's name says."""
    return int(call.function.__name__[-2])


def _tuple(value: Any, dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values
