"""Random small networks of everything that the table of operations knows, and random masks for them."""

import operator
from collections.abc import Callable

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from program import Program
from torch import Tensor, nn

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
AVERAGES = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
MAXIMA = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
ADAPTIVE = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
SIZES = {1: (4, 7), 2: (3, 5), 3: (2, 3)}

Draw = Callable[[st.SearchStrategy], object]


@st.composite
def image_networks(draw, *, maximum=True):
    """Blocks of 1d, 2d or 3d convolutions in sequence, then a head."""
    dims = draw(st.integers(1, 3))
    side = st.integers(*SIZES[dims])
    program = Program(draw(st.integers(1, 3)), *(draw(side) for _ in range(dims)))
    at = _convolution(draw, program, 0, dims)
    blocks = [block for block in BLOCKS if maximum or block is not _max_pool]
    for block in draw(st.lists(st.sampled_from(blocks), min_size=1, max_size=4)):
        at = block(draw, program, at, dims)
    _head(draw, program, at, dims)
    return program


@st.composite
def vector_networks(draw):
    """Linear layers on a flattened image, or on the last axis of tokens."""
    if draw(st.booleans()):
        shape = (draw(st.integers(1, 2)), draw(st.integers(2, 3)), draw(st.integers(2, 3)))
        program = Program(*shape)
        program.channel_axis = None
        at = program.function(0, lambda x: x.flatten(1))
    else:
        tokens, features = draw(st.integers(1, 3)), draw(st.integers(2, 4))
        program = Program(tokens, features)
        program.channel_axis = -1
        at = 0
    for kind in draw(st.lists(st.sampled_from(["plain", "residual", "shared", "slices"]), min_size=1, max_size=4)):
        width = program.shapes[at][-1]
        if kind == "plain":
            at, _ = program.layer(at, nn.Linear(width, draw(st.integers(1, 4)), bias=draw(st.booleans())))
        elif kind == "residual":
            first, _ = program.layer(at, nn.Linear(width, width))
            second, _ = program.layer(program.function(first, F.relu), nn.Linear(width, width))
            at = program.join(second, at, run=operator.iadd, in_place=True)
        elif kind == "shared":  # one weight in two modules
            one, two = nn.Linear(width, width), nn.Linear(width, width, bias=False)
            two.weight = one.weight
            first, _ = program.layer(at, one)
            at, _ = program.layer(program.function(first, F.leaky_relu), two)
        elif program.layers:  # features of the input itself: see tests/paths/test_input_nodes.py
            cut = draw(st.integers(1, width))
            at = program.function(at, lambda x, cut=cut: x[..., :cut])
    program.layer(at, nn.Linear(program.shapes[at][-1], 2))
    return program


@st.composite
def masks_for(draw, program: Program) -> dict[str, Tensor]:
    """Each layer with a density of its own, none and all among them; some layers not named at all."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    sparse, mostly_kept = [0.15, 0.4, 0.7, 0.7, 0.9, 1.0, 0.0, None], [0.5, 0.7, 0.9, 0.9, 1.0, None]
    densities = st.sampled_from(draw(st.sampled_from([sparse, mostly_kept])))
    masks = {}
    for name, weight in program.weights.items():
        density = draw(densities)
        if density is not None:
            masks[name] = torch.rand(weight.shape, generator=generator) < density
    return masks


def _divisors(*numbers: int) -> list[int]:
    return [g for g in range(1, min(numbers) + 1) if all(n % g == 0 for n in numbers)]


def _convolution(draw, program: Program, at: int, dims: int) -> int:
    channels, *sides = program.shapes[at]
    outputs = draw(st.integers(1, 4))
    kernel = tuple(draw(st.integers(1, 3)) for _ in sides)
    dilation = tuple(draw(st.integers(1, 2)) for _ in sides)
    padding = []
    for side, k, d in zip(sides, kernel, dilation, strict=True):
        short = max(0, d * (k - 1) + 1 - side)
        padding.append(draw(st.integers((short + 1) // 2, 2)))
    groups = draw(st.sampled_from(_divisors(channels, outputs)))
    stride = tuple(draw(st.integers(1, 2)) for _ in sides)
    layer = CONVOLUTIONS[dims](
        channels, outputs, kernel, stride, tuple(padding), dilation, groups, bias=draw(st.booleans())
    )
    return program.layer(at, layer)[0]


def _transposed(draw, program: Program, at: int, dims: int) -> int:
    channels, *sides = program.shapes[at]
    if max(sides) > 4:
        return at
    outputs, kernel, stride = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    dilation = draw(st.integers(1, 2))
    padding = draw(st.integers(0, 1)) if min(sides) * stride + dilation * (kernel - 1) > stride + 2 else 0
    groups = draw(st.sampled_from(_divisors(channels, outputs)))
    more = draw(st.integers(0, max(stride, dilation) - 1))
    layer = TRANSPOSED[dims](
        channels, outputs, kernel, stride, padding, output_padding=more, groups=groups, dilation=dilation
    )
    return program.layer(at, layer)[0]


def _same(program: Program, at: int, dims: int, outputs: int, kernel: int = 3, stride: int = 1) -> tuple[int, str]:
    channels = program.shapes[at][0]
    return program.layer(at, CONVOLUTIONS[dims](channels, outputs, kernel, stride, kernel // 2, bias=False))


def _normed(program: Program, at: int, dims: int) -> int:
    norm = NORMS[dims](program.shapes[at][0])
    with torch.no_grad():
        for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
            values.uniform_(0.5, 2)
    return program.norm(at, norm)


def _identity_residual(draw, program: Program, at: int, dims: int) -> int:
    channels = program.shapes[at][0]
    first, _ = _same(program, at, dims, channels)
    second, _ = _same(program, program.norm(_normed(program, first, dims), nn.ReLU(inplace=True)), dims, channels)
    in_place = draw(st.booleans())
    at = program.join(second, at, run=operator.iadd if in_place else torch.add, in_place=in_place)
    return program.norm(at, nn.ReLU(inplace=draw(st.booleans())))


def _projection_residual(draw, program: Program, at: int, dims: int) -> int:
    outputs, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    first, _ = _same(program, at, dims, outputs, stride=stride)
    second, _ = _same(program, program.function(first, F.relu), dims, outputs)
    beside, name = _same(program, at, dims, outputs, kernel=1, stride=stride)
    program.shortcuts.add(f"layers.{name}.weight")
    return program.join(second, _normed(program, beside, dims), run=operator.iadd, in_place=True)


def _parallel(draw, program: Program, at: int, dims: int) -> int:
    """A pointwise convolution beside a single one: neither is a projection shortcut."""
    outputs = draw(st.integers(1, 3))
    one, _ = _same(program, at, dims, outputs)
    other, _ = _same(program, at, dims, outputs, kernel=1)
    return program.join(one, other, run=torch.add)


def _concatenation(draw, program: Program, at: int, dims: int) -> int:
    grown, _ = _same(program, program.function(at, F.relu), dims, draw(st.integers(1, 2)))
    return program.join(at, grown, run=lambda *parts: torch.cat(parts, 1))


def _slices(draw, program: Program, at: int, dims: int) -> int:
    channels = program.shapes[at][0]
    if channels < 2:
        return at
    if draw(st.booleans()):
        left, right = (program.function(at, lambda x, i=i: x.chunk(2, dim=1)[i]) for i in range(2))
    else:
        cut = draw(st.integers(1, channels - 1))
        left = program.function(at, lambda x: x[:, :cut])
        right = program.function(at, lambda x: x.narrow(1, cut, channels - cut))
    right, _ = _same(program, right, dims, draw(st.integers(1, 2)))
    return program.join(right, left, run=lambda *parts: torch.cat(parts, 1))


def _window(draw, program: Program, at: int) -> dict[str, object]:
    kernel = draw(st.integers(1, min(3, *program.shapes[at][1:])))
    return {
        "kernel_size": kernel,
        "stride": draw(st.integers(1, 2)),
        "padding": draw(st.integers(0, kernel // 2)),
        "ceil_mode": draw(st.booleans()),
    }


def _average_pool(draw, program: Program, at: int, dims: int) -> int:
    pool = AVERAGES[dims](**_window(draw, program, at), count_include_pad=draw(st.booleans()))
    return program.function(at, pool)


def _max_pool(draw, program: Program, at: int, dims: int) -> int:
    return program.function(at, MAXIMA[dims](**_window(draw, program, at)), takes_maximum=True)


def _adaptive_pool(draw, program: Program, at: int, dims: int) -> int:
    return program.function(at, ADAPTIVE[dims](draw(st.integers(1, 3))))


def _pad(draw, program: Program, at: int, dims: int) -> int:
    if max(program.shapes[at][1:]) > 5:
        return at
    amounts = [draw(st.integers(0, 1)) for _ in range(2 * dims)]
    return program.function(at, lambda x: F.pad(x, amounts))


def _reused(draw, program: Program, at: int, dims: int) -> int:
    """One module, called twice."""
    first, name = _same(program, at, dims, program.shapes[at][0])
    return program.again(program.function(first, F.relu), name)


def _depthwise(draw, program: Program, at: int, dims: int) -> int:
    channels = program.shapes[at][0]
    layer = CONVOLUTIONS[dims](channels, channels * draw(st.integers(1, 2)), 3, 1, 1, groups=channels, bias=False)
    return program.layer(at, layer)[0]


BLOCKS = [
    _convolution,
    _transposed,
    _identity_residual,
    _projection_residual,
    _parallel,
    _concatenation,
    _slices,
    _average_pool,
    _max_pool,
    _adaptive_pool,
    _pad,
    _reused,
    _depthwise,
]


def _head(draw, program: Program, at: int, dims: int) -> None:
    kind = draw(st.sampled_from(["flatten", "global", "mean", "none", "two"]))
    if kind == "none":
        return
    if kind == "mean":
        at = program.function(at, lambda x: x.mean(dim=tuple(range(2, 2 + dims))))
    elif kind != "flatten":
        at = program.function(at, ADAPTIVE[dims](1))
    if kind != "mean":
        at = program.function(at, nn.Flatten())
    out, _ = program.layer(at, nn.Linear(program.shapes[at][0], 2))
    if kind == "two":
        program.outputs = (out, at)
