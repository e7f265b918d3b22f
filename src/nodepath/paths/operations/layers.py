"""Linear layers and convolutions: where the weights are. Embeddings: where paths begin."""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.geometry import Geometry
from nodepath.paths.table import register


@register("linear", begins="before", reads_constants=False)
def linear(call: Call, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A matrix between the last axis of the input and that of the output; biases start no paths."""
    return call.apply(input, weight, Geometry(tuple(weight.shape), linear=True), bias=bias)


@register("conv1d", "conv2d", "conv3d", begins="before", reads_constants=False)
def convolution(
    call: Call,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """A kernel between each input and each output channel of a group."""
    dims = weight.ndim - 2
    dilation = _tuple(dilation, dims)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(size % 2 for size in total):  # one more behind than before
            sides = [side for size in reversed(total) for side in (size // 2, size - size // 2)]
            return call.written_out(_padded, call.function, input, sides, weight, bias, stride, dilation, groups)  # type: ignore[no-any-return]
        padding = [size // 2 for size in total]
    elif padding == "valid":
        padding = 0
    options = _tuple(stride, dims), _tuple(padding, dims), dilation
    return _on_batch(call, input, weight, _geometry(weight.shape, groups, *options), bias)


@register("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", begins="before", reads_constants=False)
def transposed_convolution(
    call: Call,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The same with input and output changed: weights of shape (in, out / groups, *kernel)."""
    dims = weight.ndim - 2
    geometry = Geometry(
        tuple(weight.shape),
        groups=groups,
        transposed=True,
        stride=_tuple(stride, dims),
        padding=_tuple(padding, dims),
        dilation=_tuple(dilation, dims),
        output_padding=_tuple(output_padding, dims),
    )
    return _on_batch(call, input, weight, geometry, bias)


@register("embedding", "embedding_bag", begins="after")
def embedding(call: Call, *_: Any, **__: Any) -> Tensor:
    """Looks up by the values of an activation.

    Raises:
        UnknownOperationError: Always; of token ids the paths begin here, and this rule is not asked.
    """
    raise call.unknown("looks up by the values of an activation")


def _on_batch(call: Call, input: Tensor, weight: Tensor, geometry: Geometry, bias: Tensor | None) -> Tensor:
    """Convolutions take a single sample without a batch axis as well."""
    if input.ndim == weight.ndim:
        return call.apply(input, weight, geometry, bias=bias)
    batch = call.written_out(Tensor.unsqueeze, input, 0)
    made = call.apply(batch, weight, geometry, bias=bias)
    return call.written_out(Tensor.squeeze, made, 0)  # type: ignore[no-any-return]


@lru_cache(maxsize=4096)
def _geometry(
    shape: torch.Size, groups: int, stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...]
) -> Geometry:
    zeros = (0,) * len(stride)
    return Geometry(
        tuple(shape), groups=groups, stride=stride, padding=padding, dilation=dilation, output_padding=zeros
    )


def _padded(
    function: Any, input: Tensor, sides: list[int], weight: Tensor, bias: Any, stride: Any, dilation: Any, groups: int
) -> Any:
    return function(F.pad(input, sides), weight, bias, stride, 0, dilation, groups)


def _tuple(value: Any, dims: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values
