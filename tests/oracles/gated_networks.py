"""Random small networks with gates: on images by convolutions, on tokens by linear layers."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from program import Program
from torch import Tensor, nn

Block = Callable[..., int]

SILENT_AT_ZERO = [F.relu, F.silu, F.gelu, F.hardswish, F.mish, torch.tanh]
NEVER_SILENT = [torch.sigmoid, F.hardsigmoid, nn.Sigmoid(), nn.Hardsigmoid(), lambda x: x.sigmoid()]


@st.composite
def gated_networks(draw, *, of: list[Block] | None = None):
    """A layer, one to three gates, a head.

    Args:
        draw: Of hypothesis.
        of: The gates to choose from; None: `BLOCKS`.
    """
    if draw(st.booleans()):
        program = Program(draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    else:
        program = Program(draw(st.integers(1, 3)), draw(st.integers(1, 4)), channel_axis=-1)
    at = _layer(draw, program, 0, draw(st.integers(1, 4)))
    if draw(st.booleans()):
        at = program.function(at, draw(st.sampled_from(SILENT_AT_ZERO[:5])))
    for block in draw(st.lists(st.sampled_from(of or BLOCKS), min_size=1, max_size=3)):
        at = block(draw, program, at)
    _layer(draw, program, at, 2)
    return program


def _axis(program: Program) -> int:
    """Of the channels, in a batch."""
    return 1 if program.channel_axis == 0 else -1


def _channels(program: Program, at: int) -> int:
    return program.shapes[at][program.channel_axis]


def _layer(draw, program: Program, at: int, outputs: int, *, kernel: int | None = None) -> int:
    inputs, bias = _channels(program, at), draw(st.booleans())
    if program.channel_axis == -1:
        return program.layer(at, nn.Linear(inputs, outputs, bias=bias))[0]
    kernel = kernel or draw(st.sampled_from([1, 3]))
    return program.layer(at, nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias))[0]


def _squeeze_excitation(draw, program: Program, at: int) -> int:
    """Hu et al., arXiv:1709.01507."""
    places = tuple(range(2, 1 + len(program.shapes[at]))) if _axis(program) == 1 else (1,)
    pools: list[Callable[[Tensor], Tensor]] = [lambda x: x.mean(places, keepdim=True)]
    if _axis(program) == 1:
        pools.append(nn.AdaptiveAvgPool2d(1))
    squeezed = program.function(at, draw(st.sampled_from(pools)))
    hidden = program.function(_layer(draw, program, squeezed, draw(st.integers(1, 2)), kernel=1), F.relu)
    raised = _layer(draw, program, hidden, _channels(program, at), kernel=1)
    gate = program.function(raised, draw(st.sampled_from(NEVER_SILENT)))
    return program.gate(at, gate, draw(st.sampled_from([torch.mul, lambda x, g: g * x, lambda x, g: x.mul(g)])))


def _glu(draw, program: Program, at: int) -> int:
    """Dauphin et al., arXiv:1612.08083: the second half is the gate."""
    both = _layer(draw, program, at, 2 * draw(st.integers(1, 3)))
    axis = _axis(program)
    value, raw = (program.function(both, lambda x, i=i: x.chunk(2, axis)[i]) for i in range(2))
    gate = program.function(raw, torch.sigmoid)
    run = draw(st.sampled_from([lambda x: F.glu(x, axis), nn.GLU(axis)]))
    return program.gate(value, gate, run, called_with=(both,))


def _gated_unit(draw, program: Program, at: int) -> int:
    """SwiGLU, GEGLU, ReGLU (Shazeer, arXiv:2002.05202): two layers, one of them activated."""
    width = draw(st.integers(1, 3))
    activated = program.function(_layer(draw, program, at, width), draw(st.sampled_from(SILENT_AT_ZERO)))
    return program.gate(_layer(draw, program, at, width), activated, torch.mul)


def _gated_chunks(draw, program: Program, at: int) -> int:
    """The same from the halves of one layer."""
    both, axis = _layer(draw, program, at, 2 * draw(st.integers(1, 3))), _axis(program)
    value, raw = (program.function(both, lambda x, i=i: x.chunk(2, axis)[i]) for i in range(2))
    return program.gate(value, program.function(raw, draw(st.sampled_from(SILENT_AT_ZERO))), torch.mul)


def _squashed(draw, program: Program, at: int) -> int:
    """tanh * sigmoid, as in WaveNet: the sigmoid is the gate."""
    width = draw(st.integers(1, 3))
    value = program.function(_layer(draw, program, at, width), torch.tanh)
    gate = program.function(_layer(draw, program, at, width), draw(st.sampled_from(NEVER_SILENT)))
    return program.gate(value, gate, lambda x, g: g * x)


def _normed_gate(draw, program: Program, at: int) -> int:
    """A gate whose normalisation has a shift is never silent."""
    width = draw(st.integers(1, 3))
    raw = _layer(draw, program, at, width)
    norm = nn.BatchNorm2d(width) if _axis(program) == 1 else nn.LayerNorm(width)
    gate = program.function(program.norm(raw, norm), F.silu)
    return program.gate(_layer(draw, program, at, width), gate, torch.mul)


def _hidden_gate(draw, program: Program, at: int) -> int:
    """A gate on a gate."""
    width = draw(st.integers(1, 2))
    inner = program.function(_gated_unit(draw, program, at), F.silu)
    gate = program.function(
        _layer(draw, program, inner, width), draw(st.sampled_from([*SILENT_AT_ZERO, *NEVER_SILENT]))
    )
    return program.gate(_layer(draw, program, at, width), gate, torch.mul)


def _gate_of_gates(draw, program: Program, at: int) -> int:
    """A gate that is a product itself: zero where both its factors say so, if it is silent at all."""
    width = draw(st.integers(1, 2))
    value = _layer(draw, program, at, width)
    gate = program.function(_layer(draw, program, at, width), draw(st.sampled_from([*SILENT_AT_ZERO, *NEVER_SILENT])))
    product = program.function(program.gate(value, gate, torch.mul), draw(st.sampled_from(SILENT_AT_ZERO)))
    return program.gate(_layer(draw, program, at, width), product, torch.mul)


def _extended_gate(draw, program: Program, at: int) -> int:
    """A gate beside a constant, or with one in it."""
    width, axis = draw(st.integers(1, 2)), _axis(program)
    extensions: list[tuple[int, Callable[[Tensor], Tensor]]] = [
        (1, lambda x: torch.cat([x, torch.ones_like(x.narrow(axis, 0, 1))], axis)),
        (0, lambda x: x + 0.5),
        (0, lambda x: x * 0.5),
        (0, lambda x: x.clamp(min=0)),
        (0, lambda x: x.clamp(0.5, 2)),
        (0, lambda x: x.abs().sqrt()),
        (0, F.softplus),
        (0, lambda x: x.exp()),
        (0, lambda x: torch.where(torch.ones(1, dtype=torch.bool), x, torch.tensor(0.5))),
    ]
    more, extend = draw(st.sampled_from(extensions))
    extended = program.function(_layer(draw, program, at, width), extend)
    gate = program.function(extended, draw(st.sampled_from(SILENT_AT_ZERO)))
    return program.gate(_layer(draw, program, at, width + more), gate, torch.mul)


def _square(draw, program: Program, at: int) -> int:
    return program.function(at, draw(st.sampled_from([lambda x: x * x, lambda x: x.mul(x), lambda x: x**2])))


def _divided(draw, program: Program, at: int) -> int:
    """By its own size: a divisor never closes the way."""
    axis = _axis(program)
    divisors: list[Callable[[Tensor], Tensor]] = [
        lambda x: x.norm(dim=axis, keepdim=True),
        lambda x: torch.linalg.vector_norm(x, dim=axis, keepdim=True),
        lambda x: torch.norm(x, dim=axis).unsqueeze(axis),
        lambda x: x.std(axis, keepdim=True, correction=0),
        lambda x: x.var(axis, keepdim=True, unbiased=False).add(1e-5).sqrt(),
        lambda x: (x * x).sum(axis, keepdim=True).sqrt() + 1e-6,
        lambda x: x.abs().mean(axis, keepdim=True),
        lambda x: x.exp().sum(axis, keepdim=True),
    ]
    size = program.function(at, draw(st.sampled_from(divisors)), reads=lambda x: x.sum(axis, keepdim=True))
    return program.gate(at, size, draw(st.sampled_from([torch.div, lambda x, n: x / n])), kills=False)


def _scaled(draw, program: Program, at: int) -> int:
    """RMSNorm by hand, as in LLaMA."""
    axis = _axis(program)
    size = program.function(
        at, lambda x: torch.rsqrt(x.pow(2).mean(axis, keepdim=True) + 1e-6), reads=lambda x: x.mean(axis, keepdim=True)
    )
    return program.gate(at, size, torch.mul)


BLOCKS = [
    _squeeze_excitation,
    _glu,
    _gated_unit,
    _gated_chunks,
    _squashed,
    _normed_gate,
    _hidden_gate,
    _square,
    _divided,
    _scaled,
]

WITH_CONSTANTS = [_gate_of_gates, _extended_gate]
"""Gates some of whose elements are constants where no path reaches them, and others zero."""
