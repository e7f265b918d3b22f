"""Pooling: by definition every input of a window is connected to its output."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.table import register

_ADAPTIVE_MEAN = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
_ADAPTIVE_MAX = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}


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
    dims = _dims(call)
    if call.semantics.average == "mean":
        arguments = (kernel_size, stride, padding, ceil_mode, count_include_pad)
        extra = () if dims == 1 else (divisor_override,)
        return call.emit(*call.settle(call.function(signal.counts, *arguments, *extra), signal.exponent))
    pooled = _window_sum(signal.counts, dims, kernel_size, stride, padding, ceil_mode)
    return call.emit(*call.settle(pooled, signal.exponent))


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
) -> Tensor:
    """A window's paths add up, or the largest count wins if the semantics says so."""
    signal = call.signal(input)
    stride = kernel_size if stride is None or stride == [] else stride
    dims = _dims(call)
    if return_indices:
        raise call.unknown("returns the indices of the maxima, which depend on the values")
    if call.semantics.maximum == "max":
        pooled = call.function(signal.counts, kernel_size, stride, padding, dilation, ceil_mode)
        return call.emit(*call.settle(pooled, signal.exponent))
    if any(d != 1 for d in _tuple(dilation, dims)):
        raise call.unknown("dilates its window")
    pooled = _window_sum(signal.counts, dims, kernel_size, stride, padding, ceil_mode)
    return call.emit(*call.settle(pooled, signal.exponent))


@register("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive_average(call: Call, input: Tensor, output_size: Any) -> Tensor:
    """A window's paths add up, or are averaged if the semantics says so."""
    signal = call.signal(input)
    pooled = call.function(signal.counts, output_size)
    if call.semantics.average == "sum":
        pooled = pooled * _adaptive_window_sizes(signal.counts, _dims(call), pooled)
    return call.emit(*call.settle(pooled, signal.exponent))


@register("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_maximum(call: Call, input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    """A window's paths add up, or the largest count wins if the semantics says so."""
    signal = call.signal(input)
    if return_indices:
        raise call.unknown("returns the indices of the maxima, which depend on the values")
    dims = int(call.function.__name__[-2])
    if call.semantics.maximum == "max":
        return call.emit(*call.settle(_ADAPTIVE_MAX[dims](signal.counts, output_size), signal.exponent))
    means = _ADAPTIVE_MEAN[dims](signal.counts, output_size)
    return call.emit(*call.settle(means * _adaptive_window_sizes(signal.counts, dims, means), signal.exponent))


@register("amax", "amin")
def extreme(call: Call, input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """Max pooling over whole axes."""
    signal = call.signal(input)
    if call.semantics.maximum == "max":
        return call.emit(*call.settle(signal.counts.amax(dim, keepdim), signal.exponent))
    return call.emit(*call.settle(signal.counts.sum(dim, keepdim), signal.exponent))


@register("mean")
def mean(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Global average pooling written by hand."""
    signal = call.signal(input)
    kwargs.pop("dtype", None)
    reduced = signal.counts.mean(*args, **kwargs)
    if call.semantics.average == "sum":
        reduced = signal.counts.sum(*args, **kwargs)
    return call.emit(*call.settle(reduced, signal.exponent))


def _window_sum(counts: Tensor, dims: int, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> Tensor:
    if dims == 1:  # the only one without a divisor of its own
        size, step, border = ((beside, *_tuple(v, 1)) for v, beside in ((kernel, 1), (stride, 1), (padding, 0)))
        return F.avg_pool2d(counts.unsqueeze(-2), size, step, border, ceil_mode, divisor_override=1).squeeze(-2)
    pool = F.avg_pool2d if dims == 2 else F.avg_pool3d
    return pool(counts, kernel, stride, padding, ceil_mode, divisor_override=1)


def _adaptive_window_sizes(counts: Tensor, dims: int, pooled: Tensor) -> Tensor:
    result = counts.new_ones(())
    for axis in range(dims):
        size, outputs = counts.shape[axis - dims], pooled.shape[axis - dims]
        cells = [-(-(o + 1) * size // outputs) - o * size // outputs for o in range(outputs)]
        shape = [1] * dims
        shape[axis] = outputs
        result = result * counts.new_tensor(cells).reshape(shape)
    return result


def _dims(call: Call) -> int:
    """1, 2 or 3, as the function's name says."""
    return int(call.function.__name__[-2])


def _tuple(value: Any, dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values
