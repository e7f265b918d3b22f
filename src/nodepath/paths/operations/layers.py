"""Linear layers and convolutions: where the weights are."""

from typing import Any

from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.table import register


@register("linear")
def linear(call: Call, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A matrix between the last axis of the input and that of the output; biases start no paths."""
    del bias
    return call.apply(input, weight, call.function, linear=True)


@register("conv1d", "conv2d", "conv3d")
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
    del bias
    options = (stride, padding, dilation, groups)
    return call.apply(input, weight, lambda counts, edges: call.function(counts, edges, None, *options), groups=groups)


@register("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
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
    del bias
    options = (stride, padding, output_padding, groups, dilation)
    return call.apply(
        input,
        weight,
        lambda counts, edges: call.function(counts, edges, None, *options),
        groups=groups,
        transposed=True,
    )
