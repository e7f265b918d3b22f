"""Operations that pass each element on: activations, norms, dropout, casts, unary functions."""

from typing import Any

from torch import Tensor

from nodepath.paths.table import register
from nodepath.paths.tracer import Call

ACTIVATIONS = (
    "celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish prelu relu relu6 rrelu "
    "selu sigmoid silu softplus softshrink softsign tanh tanhshrink threshold erf"
).split()
NORMS = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm", "local_response_norm", "normalize"]
DROPOUT = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]
CASTS = ["bfloat16", "clone", "contiguous", "cpu", "cuda", "detach", "double", "float", "half", "to", "type", "type_as"]
UNARY = ["abs", "clamp", "clamp_max", "clamp_min", "clip", "exp", "log", "neg", "pow", "sqrt", "square"]


@register(*ACTIVATIONS, *NORMS, *DROPOUT, *CASTS, *UNARY)
@register(Tensor.data.__get__)  # type: ignore[attr-defined]  # of the class it is a descriptor
def identity(call: Call, input: Tensor, *_: Any, **__: Any) -> Tensor:
    """Every element keeps its paths."""
    signal = call.signal(input)
    return call.emit(signal.counts, signal.exponent)
