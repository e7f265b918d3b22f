"""Operations that pass each element on: activations, norms, dropout, casts, unary functions."""

from typing import Any

from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.table import register

ACTIVATIONS = (
    "celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish prelu relu relu6 rrelu "
    "selu sigmoid silu softplus softshrink softsign tanh tanhshrink threshold erf"
).split()
NORMS = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm", "local_response_norm", "normalize"]
DROPOUT = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]
CASTS = ["bfloat16", "contiguous", "cpu", "cuda", "detach", "double", "float", "half", "to", "type", "type_as"]
UNARY = ["abs", "clamp", "clamp_max", "clamp_min", "clip", "clone", "exp", "log", "neg", "pow", "sqrt", "square"]


@register(*ACTIVATIONS, *NORMS, *UNARY, "softmax", "log_softmax")
def elementwise(call: Call, input: Tensor, *_: Any, **__: Any) -> Tensor:
    """Every element keeps its paths, in new memory."""
    return call.keep(input, shares_memory=False)


@register(*CASTS, *DROPOUT)
@register(Tensor.data.__get__)  # type: ignore[attr-defined]  # of the class it is a descriptor
def same(call: Call, input: Tensor, *_: Any, **__: Any) -> Tensor:
    """Every element keeps its paths, and maybe its memory."""
    return call.keep(input, shares_memory=True)
