"""Operations that pass each element on: activations, norms, dropout, casts, unary functions."""

from numbers import Number
from typing import Any

from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.signal import Role
from nodepath.paths.steering import coupled
from nodepath.paths.table import register

ACTIVATIONS = (
    "celu elu gelu hardshrink hardswish hardtanh leaky_relu mish prelu relu relu6 rrelu selu silu softshrink softsign "
    "tanhshrink"
).split()
NOT_ZERO_AT_ZERO = ["logsigmoid", "softplus", "threshold"]
CENTRED = ["batch_norm", "group_norm", "instance_norm", "layer_norm"]
SCALED = ["local_response_norm", "normalize", "rms_norm"]
DROPOUT = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]
CASTS = ["bfloat16", "contiguous", "cpu", "cuda", "detach", "double", "float", "half", "to", "type", "type_as"]
UNARY = "abs asin atan ceil clone expm1 floor log1p nan_to_num neg round sign sin sinh sqrt square trunc".split()
COMPARISONS = "eq ge greater greater_equal gt isfinite isinf isnan le less less_equal logical_not lt ne".split()


@register(*UNARY, *SCALED, reads_constants=False)
def elementwise(call: Call, input: Tensor, *_: Any, **__: Any) -> Tensor:
    """Every element keeps its paths, in new memory; zero stays zero."""
    return call.keep(input, shares_memory=False)


@register(*CENTRED, "exp", "log", "cos", "log_softmax", reads_constants=False)
def moving_zero(call: Call, input: Tensor, *_: Any, **__: Any) -> Tensor:
    """Every element keeps its paths, and none is zero."""
    return call.keep(input, shares_memory=False, silent=False)


@register("clamp", "clamp_min", "clamp_max", "clip")
def clamp(call: Call, input: Tensor, *limits: Any, **named: Any) -> Tensor:
    """Every element keeps its paths; zero stays zero if the limits let it."""
    low, high = (*limits, None, None)[:2] if call.function.__name__.rstrip("_") in {"clamp", "clip"} else (None, None)
    low, high = named.get("min", low), named.get("max", high)
    moves = (isinstance(low, Number) and low > 0) or (isinstance(high, Number) and high < 0)  # type: ignore[operator]
    return call.keep(input, shares_memory=False, silent=not moves)


@register("pow")
def power(call: Call, input: Any, exponent: Any, **_: Any) -> Tensor:
    """Every element keeps its paths; a negative power is a statistic to divide by."""
    inverse = isinstance(exponent, Number) and exponent < 0  # type: ignore[operator]
    role = Role.STEERING if inverse else Role.VALUE
    return call.keep(input, shares_memory=False, role=role, silent=not inverse)


@register(*ACTIVATIONS)
def activation(call: Call, input: Tensor, *_: Any, **__: Any) -> Tensor:
    """The identity; beside what is not activated, its result is the control of a product."""
    return call.keep(input, shares_memory=False, role=Role.ACTIVATED)


@register(*NOT_ZERO_AT_ZERO)
def offset_activation(call: Call, input: Tensor, *_: Any, **__: Any) -> Tensor:
    """An activation that is not zero at zero."""
    return call.keep(input, shares_memory=False, role=Role.ACTIVATED, silent=False)


@register("tanh", "erf")
def squash(call: Call, input: Tensor, *_: Any, **__: Any) -> Tensor:
    """The identity; its result steers, unless a sigmoid steers it."""
    return call.keep(input, shares_memory=False, role=Role.SQUASHED)


@register("sigmoid", "hardsigmoid", "expit", "rsqrt", "reciprocal", *COMPARISONS)
def gate(call: Call, input: Tensor, *_: Any, **__: Any) -> Tensor:
    """The identity; its result steers what it is multiplied with, and is not zero at zero."""
    return call.keep(input, shares_memory=False, role=Role.STEERING, silent=False)


@register("softmax", "softmin")
def softmax(call: Call, input: Tensor, dim: int | None = None, *_: Any, **__: Any) -> Tensor:
    """The identity, which steers; of attention scores, each steers all along the axis."""
    signal = call.signal(input)
    if signal.role is not Role.ATTENTION:
        return call.keep(input, shares_memory=False, role=Role.STEERING, silent=False)
    counts = signal.counts
    if call.semantics.boolean and counts.requires_grad and dim is not None:
        counts = coupled(counts, dim)
    return call.emit(counts, 0, shape=signal.shape, silent=True)


@register(*CASTS, *DROPOUT)
@register(Tensor.data.__get__)  # type: ignore[attr-defined]  # of the class it is a descriptor
def same(call: Call, input: Tensor, *_: Any, **__: Any) -> Tensor:
    """Every element keeps its paths, and maybe its memory."""
    if not call.tracks(input) and call.function.__name__ in {"to", "type_as"}:  # a constant is given a type
        return call.function(input, *_, **__)  # type: ignore[no-any-return]
    return call.keep(input, shares_memory=True)
