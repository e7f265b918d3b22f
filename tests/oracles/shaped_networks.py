"""Random small networks of operations that move, choose and gather pixels, with gates among them."""

from collections.abc import Callable

import gated_networks
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from program import Program
from torch import Tensor, nn
from torchvision.ops import StochasticDepth


@st.composite
def shaped_networks(draw, *, of: list[Callable[..., int]] | None = None):
    """One or two images, blocks, a convolution; maybe two outputs, and a layer that nobody calls.

    Args:
        draw: Of hypothesis.
        of: The blocks to choose from; None: all.
    """
    sides = (draw(st.integers(2, 4)), draw(st.integers(2, 4)))
    several = draw(st.integers(0, 3)) == 0
    more = ((draw(st.integers(1, 2)), *sides),) if several else ()
    program = Program(draw(st.integers(1, 2)), *sides, more=more)
    width = draw(st.integers(1, 3))
    at = conv(draw, program, 0, width)
    if several:
        run, lined_up = draw(st.sampled_from([(torch.add, True), (lambda *x: torch.cat(x, 1), False)]))
        at = program.join(at, conv(draw, program, 1, width if lined_up else draw(st.integers(1, 2))), run=run)
    places = [at]
    for block in draw(st.lists(st.sampled_from(of or [*BLOCKS, *gated_networks.BLOCKS[:3]]), min_size=1, max_size=3)):
        places.append(block(draw, program, places[-1]))
    last = conv(draw, program, places[-1], 2)
    if draw(st.integers(0, 3)) == 0:
        program.outputs = (last, draw(st.sampled_from(places)))
    if draw(st.integers(0, 3)) == 0:
        program.layers["unused"] = nn.Linear(3, 3)
    return program


def conv(draw, program: Program, at: int, outputs: int) -> int:
    kernel = draw(st.sampled_from([1, 3]))
    layer = nn.Conv2d(program.shapes[at][0], outputs, kernel, padding=kernel // 2, bias=draw(st.booleans()))
    return program.layer(at, layer)[0]


def _small(block: Callable[..., int]) -> Callable[..., int]:
    """Blocks that enlarge leave large images as they are."""

    def bounded(draw, program: Program, at: int) -> int:
        return block(draw, program, at) if max(program.shapes[at][1:]) <= 4 else at

    return bounded


@_small
def _interpolated(draw, program: Program, at: int) -> int:
    mode = draw(st.sampled_from(["nearest", "nearest-exact", "bilinear", "bicubic", "area"]))
    options: dict[str, object] = {"mode": mode}
    if mode in {"bilinear", "bicubic"}:
        options["align_corners"] = draw(st.booleans())
        # torch 2.14 itself is wrong about a width of 1, which it does not smooth
        smooth = not options["align_corners"] and program.shapes[at][2] > 1
        options["antialias"] = smooth and draw(st.booleans())
    if draw(st.booleans()):
        options["size"] = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    else:
        options["scale_factor"] = draw(st.sampled_from([0.5, 1.5, 2, (2.0, 0.7)]))
        options["recompute_scale_factor"] = draw(st.sampled_from([None, True]))
        if min(program.shapes[at][1:]) < 2:
            options["scale_factor"] = 2
    return program.function(at, lambda x: F.interpolate(x, **options))


@_small
def _shuffled(draw, program: Program, at: int) -> int:
    """Channels become pixels."""
    wide = conv(draw, program, at, 4 * draw(st.integers(1, 2)))
    return program.function(wide, draw(st.sampled_from([nn.PixelShuffle(2), lambda x: F.pixel_shuffle(x, 2)])))


def _unshuffled(draw, program: Program, at: int) -> int:
    if program.shapes[at][1] % 2 or program.shapes[at][2] % 2:
        return at
    return program.function(at, draw(st.sampled_from([nn.PixelUnshuffle(2), lambda x: F.pixel_unshuffle(x, 2)])))


def _flags(draw, program: Program, at: int) -> Tensor:
    """A constant of bools for each pixel, or for each element."""
    shape = program.shapes[at] if draw(st.booleans()) else program.shapes[at][1:]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    return torch.rand(shape, generator=generator) < 0.6


def _chosen(draw, program: Program, at: int) -> int:
    """By a constant, from two branches, or from one and a constant."""
    width = draw(st.integers(1, 2))
    left = conv(draw, program, at, width)
    flags = _flags(draw, program, left)
    if draw(st.booleans()):
        return program.function(left, lambda x: torch.where(flags, x, torch.tensor(0.5)))
    return program.join(left, conv(draw, program, at, width), run=lambda x, y: torch.where(flags, x, y))


def _filled(draw, program: Program, at: int) -> int:
    flags, value = _flags(draw, program, at), draw(st.sampled_from([0.0, 2.0]))
    return program.function(at, lambda x: x.masked_fill(flags, value))


def _summed_up(draw, program: Program, at: int) -> int:
    axis = draw(st.integers(1, 3))
    return program.function(at, lambda x: x.cumsum(axis))


def _larger(draw, program: Program, at: int) -> int:
    run = draw(st.sampled_from([torch.maximum, torch.minimum, torch.max, torch.min, torch.fmax]))
    beside = conv(draw, program, at, program.shapes[at][0])
    return program.join(at, beside, run=run, reads=torch.add)


def _matrix(draw, program: Program, at: int) -> Tensor:
    """A constant with zeros."""
    width = program.shapes[at][-1]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    made = torch.rand(width, draw(st.integers(1, 3)), generator=generator)
    return made * (made < 0.6)


def _times_constant(draw, program: Program, at: int) -> int:
    """Edges are where the constant is not zero; of a parameter, everywhere."""
    matrix = _matrix(draw, program, at)
    runs: list[Callable[[Tensor], Tensor]] = [
        lambda x: x @ matrix,
        lambda x: torch.matmul(matrix.T, x.mT).mT,
        lambda x: torch.einsum("bchw,wv->bchv", x, matrix),
        lambda x: torch.einsum("vw,...w->...v", matrix.T.contiguous(), x),
        lambda x: F.linear(x, matrix.T.contiguous()),
    ]
    return program.function(at, draw(st.sampled_from(runs)))


def times_parameter(draw, program: Program, at: int) -> int:
    """By a parameter of no layer."""
    free = nn.ParameterList([nn.Parameter(_matrix(draw, program, at))])
    program.others.append(free)
    full = torch.ones(free[0].shape)
    return program.function(at, lambda x: x @ free[0], reads=lambda x: x @ full)


def _window(draw, program: Program, at: int) -> int | None:
    side = min(program.shapes[at][1:])
    return draw(st.integers(1, min(3, side))) if side > 1 else None


def _power_pooled(draw, program: Program, at: int) -> int:
    kernel = _window(draw, program, at)
    if kernel is None:
        return at
    stride, ceil = draw(st.integers(1, 2)), draw(st.booleans())
    return program.function(at, lambda x: F.lp_pool2d(x, 2, kernel, stride, ceil))


def _dilated_maximum(draw, program: Program, at: int) -> int:
    if min(program.shapes[at][1:]) < 3:
        return at
    pool = nn.MaxPool2d(2, draw(st.integers(1, 2)), draw(st.integers(0, 1)), dilation=2, ceil_mode=draw(st.booleans()))
    return program.function(at, pool, takes_maximum=True)


def _normed(draw, program: Program, at: int) -> int:
    channels, *sides = program.shapes[at]
    groups = draw(st.sampled_from([n for n in (1, 2, 3) if channels % n == 0]))
    norms: list[nn.Module] = [nn.GroupNorm(groups, channels), nn.LayerNorm(program.shapes[at])]
    if sides != [1, 1]:
        norms.append(nn.InstanceNorm2d(channels, affine=draw(st.booleans())))
    if draw(st.booleans()):
        return program.norm(at, nn.RMSNorm(sides[-1]), shifts=False)
    return program.norm(at, draw(st.sampled_from(norms)))


def _shared(draw, program: Program, at: int) -> int:
    """Two layers own one weight."""
    channels = program.shapes[at][0]
    one, two = nn.Conv2d(channels, channels, 1, bias=False), nn.Conv2d(channels, channels, 1)
    two.weight = one.weight
    first = program.function(program.layer(at, one)[0], F.relu)
    return program.layer(first, two)[0]


def _stochastic_residual(draw, program: Program, at: int) -> int:
    """Stochastic depth and layer scale, as in ConvNeXt."""
    channels = program.shapes[at][0]
    made = conv(draw, program, at, channels)
    scale = nn.ParameterList([nn.Parameter(torch.full((channels, 1, 1), draw(st.sampled_from([0.0, 1e-6]))))])
    program.others.append(scale)
    scaled = program.function(made, lambda x: scale[0] * x, reads=lambda x: x)
    return program.join(program.function(scaled, StochasticDepth(0.5, "row")), at, run=torch.add)


def _moved(draw, program: Program, at: int) -> int:
    runs: list[Callable[[Tensor], Tensor]] = [
        lambda x: x.roll(1, 2),
        lambda x: x.flip(-1),
        lambda x: x.transpose(2, 3).tril(),
        lambda x: x.repeat(1, 2, 1, 1),
        lambda x: x.repeat_interleave(2, dim=1),
        lambda x: F.pad(x, (1, 0, 0, 1), mode="replicate"),
        lambda x: x[:, :, ::2],
        lambda x: torch.stack([x, x], 2).flatten(1, 2),
    ]
    return program.function(at, draw(st.sampled_from(runs)))


BLOCKS = [
    _interpolated,
    _shuffled,
    _unshuffled,
    _chosen,
    _filled,
    _summed_up,
    _larger,
    _times_constant,
    _power_pooled,
    _dilated_maximum,
    _normed,
    _shared,
    _stochastic_residual,
    _moved,
]
