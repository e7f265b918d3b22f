"""Random small networks of attention on tokens."""

from collections.abc import Callable

import spellings
import torch
import torch.nn.functional as F
from attention_steps import attention, multihead
from hypothesis import strategies as st
from program import Program
from spellings import MASKINGS, Attend
from steering_kinds import causal
from torch import Tensor, nn


class Positions(nn.Module):
    """A constant vector for each token is added."""

    def __init__(self, tokens: int, features: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.rand(tokens, features) + 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table


class LookedUpPositions(nn.Module):
    """The same, looked up by number: no input of the network."""

    def __init__(self, tokens: int, features: int) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, features)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table(torch.arange(x.shape[1], device=x.device))


class ClassToken(nn.Module):
    """A constant token is put in front."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.rand(1, 1, features) + 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)


class LayerScale(nn.Module):
    """Touvron et al., arXiv:2103.17239; starts at zero here, which prunes nothing."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


@st.composite
def attention_networks(draw, *, attend: list[str] | None = None):
    """Tokens, maybe a class token and positions, one or two blocks, a head.

    Args:
        draw: Of hypothesis.
        attend: Names of kinds of attention; None: all.
    """
    heads = draw(st.integers(1, 2))
    features = heads * draw(st.integers(1, 2))
    tokens = draw(st.integers(1, 3))
    inputs = draw(st.integers(1, 3))
    program = Program(tokens, inputs, channel_axis=-1)
    at = program.layer(0, nn.Linear(inputs, features, bias=draw(st.booleans())))[0]
    at = blocks(draw, program, at, heads, attend)
    program.layer(at, nn.Linear(features, 2))
    return program


def blocks(draw, program: Program, at: int, heads: int, attend: list[str] | None) -> int:
    """Attention on what is there, then all tokens, their mean, or the first."""
    features = program.shapes[at][-1]
    if draw(st.booleans()):
        at = program.function(at, ClassToken(features))
    if draw(st.booleans()):
        positions = draw(st.sampled_from([Positions, LookedUpPositions]))
        at = program.function(at, positions(program.shapes[at][0], features))
    for kind in draw(st.lists(st.sampled_from(attend or sorted(ATTENTION)), min_size=1, max_size=2)):
        normed = norm(draw, program, at)
        made = ATTENTION[kind](draw, program, normed, heads)
        made = program.layer(made, nn.Linear(program.shapes[made][-1], features, bias=draw(st.booleans())))[0]
        at = residual(draw, program, made, at)
        if draw(st.booleans()):
            at = perceptron(draw, program, at)
    pool = [lambda x: x.mean(1), lambda x: x[:, 0], lambda x: x]
    return program.function(at, pool[draw(st.integers(0, 2))])


def norm(draw, program: Program, at: int) -> int:
    kind = draw(st.sampled_from(["layer", "root mean square", "none"]))
    if kind == "none":
        return at
    features = program.shapes[at][-1]
    if kind == "layer":
        return program.norm(at, nn.LayerNorm(features))
    return program.norm(at, nn.RMSNorm(features), shifts=False)


def residual(draw, program: Program, made: int, at: int) -> int:
    if program.shapes[made] != program.shapes[at] or draw(st.integers(0, 3)) == 0:
        return made
    if draw(st.booleans()):
        made = program.function(made, LayerScale(program.shapes[made][-1]), reads=lambda x: x)
    return program.join(at, made, run=torch.add)


def perceptron(draw, program: Program, at: int) -> int:
    features = program.shapes[at][-1]
    hidden = program.layer(norm(draw, program, at), nn.Linear(features, draw(st.integers(1, 3))))[0]
    active = program.function(hidden, draw(st.sampled_from([F.gelu, F.relu])))
    return residual(draw, program, program.layer(active, nn.Linear(program.shapes[hidden][-1], features))[0], at)


# queries, keys and values


def projections(draw, program: Program, at: int, widths: tuple[int, int, int]) -> list[int]:
    """Of three layers, or of one that is cut in three."""
    features, bias = program.shapes[at][-1], draw(st.booleans())
    if len(set(widths)) == 1 and draw(st.booleans()):
        packed = program.layer(at, nn.Linear(features, sum(widths), bias=bias))[0]
        cuts: list[Callable[[Tensor, int], Tensor]] = [
            lambda x, i: x.chunk(3, dim=-1)[i],
            lambda x, i: x.split(widths[0], dim=-1)[i],
            lambda x, i: x.unflatten(-1, (3, -1)).unbind(-2)[i],
        ]
        cut = draw(st.sampled_from(cuts))
        return [program.function(packed, lambda x, i=i: cut(x, i)) for i in range(3)]
    return [program.layer(at, nn.Linear(features, width, bias=draw(st.booleans())))[0] for width in widths]


def pattern(draw, queries: int, keys: int) -> Tensor:
    """Which key each query reads; every query reads one at least."""
    if queries == keys and draw(st.booleans()):
        return causal(queries, keys)
    seen = torch.tensor(draw(st.lists(st.booleans(), min_size=queries * keys, max_size=queries * keys)))
    seen = seen.reshape(queries, keys)
    seen[:, 0] |= ~seen.any(1)
    return seen


def _by_hand(draw, program: Program, at: int, heads: int) -> int:
    width, tokens = heads * draw(st.integers(1, 2)), program.shapes[at][0]
    q, k, v = projections(draw, program, at, (width, width, width))
    spelling = draw(st.sampled_from(spellings.BY_HAND))
    if draw(st.booleans()):
        return attention(program, q, k, v, heads=heads, run=spelling(heads, spellings.unmasked(torch.empty(0))))
    seen = pattern(draw, tokens, tokens)
    run = spelling(heads, draw(st.sampled_from(MASKINGS))(seen))
    return attention(program, q, k, v, heads=heads, run=run, allowed=seen)


def _fused(draw, program: Program, at: int, heads: int) -> int:
    width, tokens = heads * draw(st.integers(1, 2)), program.shapes[at][0]
    q, k, v = projections(draw, program, at, (width, width, width))
    kind = draw(st.sampled_from(["plain", "causal", "bool", "float", "hundred"]))
    seen = causal(tokens, tokens) if kind == "causal" else pattern(draw, tokens, tokens)
    options: dict[str, dict[str, object]] = {
        "plain": {},
        "causal": {"is_causal": True},
        "bool": {"attn_mask": seen},
        "float": {"attn_mask": torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)},
        "hundred": {"attn_mask": torch.zeros(seen.shape).masked_fill(~seen, -100.0), "scale": 0.5},
    }
    run = spellings.fused(heads, **options[kind])
    return attention(program, q, k, v, heads=heads, run=run, allowed=None if kind == "plain" else seen)


def _grouped(draw, program: Program, at: int, heads: int) -> int:
    size, groups = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    q, k, v = projections(draw, program, at, (groups * heads * size, heads * size, heads * size))
    run = draw(st.sampled_from([spellings.grouped, spellings.repeated]))(groups * heads, heads)
    return attention(program, q, k, v, heads=groups * heads, key_heads=heads, run=run)


def _windowed(draw, program: Program, at: int, heads: int) -> int:
    tokens, width = program.shapes[at][0], heads
    windows = draw(st.sampled_from([n for n in (1, 2, 3, 4) if tokens % n == 0]))
    q, k, v = projections(draw, program, at, (width, width, width))
    seen = torch.block_diag(*[torch.ones(tokens // windows, tokens // windows)] * windows).bool()
    return attention(program, q, k, v, heads=heads, run=spellings.windowed(heads, windows), allowed=seen)


def _across_channels(draw, program: Program, at: int, heads: int) -> int:
    width = heads * draw(st.integers(1, 2))
    q, k, v = projections(draw, program, at, (width, width, width))
    run = spellings.across_channels(heads, normalized=draw(st.booleans()))
    return attention(program, q, k, v, heads=heads, run=run, channels=True)


def _talking(draw, program: Program, at: int, heads: int) -> int:
    """Layers over the heads, before and after the softmax: Shazeer et al., arXiv:2003.02436."""
    width = heads * draw(st.integers(1, 2))
    q, k, v = projections(draw, program, at, (width, width, width))
    over: dict[str, nn.Linear] = {}
    for place in draw(st.sampled_from([("after",), ("before",), ("before", "after")])):
        over[place] = nn.Linear(heads, heads, bias=draw(st.booleans()))
        program.layers[next(program.names)] = over[place]

    def mix(x: Tensor, place: str) -> Tensor:
        return over[place](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if place in over else x

    def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (spellings.heads_of(x, heads) for x in (q, k, v))
        weights = mix(mix(q @ k.mT, "before").softmax(-1), "after")
        return spellings.merged(weights @ v)

    return attention(program, q, k, v, heads=heads, run=run, **over)


def _module(draw, program: Program, at: int, heads: int) -> int:
    """`nn.MultiheadAttention`, of itself or across to what another layer made."""
    tokens, features = program.shapes[at]
    across = draw(st.booleans())
    other, keys = at, tokens
    if across:
        other = program.layer(at, nn.Linear(features, draw(st.integers(1, 3)), bias=draw(st.booleans())))[0]
        keys = draw(st.integers(1, tokens))
        other = program.function(other, lambda x: x[:, :keys])
    bias = draw(st.booleans())
    first = draw(st.booleans())
    more = bias and draw(st.booleans())
    zero = draw(st.booleans())
    module = nn.MultiheadAttention(
        features,
        heads,
        bias=bias,
        batch_first=first,
        kdim=program.shapes[other][-1],
        vdim=program.shapes[other][-1],
        add_bias_kv=more,
        add_zero_attn=zero,
    )
    program.layers[next(program.names)] = module
    seen, options = _options(draw, tokens, keys)
    if seen is not None:
        seen = F.pad(seen, (0, more + zero), value=True)
    options["need_weights"] = draw(st.booleans())
    run = _calling(module, first, options, alone=not across)
    return multihead(program, at, other, other, module, run=run, allowed=seen)


def _options(draw, queries: int, keys: int) -> tuple[Tensor | None, dict[str, object]]:
    """Which key each query reads, and how the module is told."""
    kind = draw(st.sampled_from(["none", "padding", "bool", "float", "both"]))
    if kind == "none":
        return None, {}
    seen, options = torch.ones(queries, keys, dtype=torch.bool), {}
    if kind in {"padding", "both"}:
        padded = torch.tensor([[False] + [draw(st.booleans()) for _ in range(keys - 1)]])
        options["key_padding_mask"] = padded
        seen = seen & ~padded
    if kind in {"bool", "both"}:
        here = pattern(draw, queries, keys)
        options["attn_mask"] = ~here
        seen = seen & here
    if kind == "float":
        seen = pattern(draw, queries, keys)
        options["attn_mask"] = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)
    return seen, options


def _calling(module: nn.MultiheadAttention, first: bool, options: dict[str, object], *, alone: bool) -> Attend:
    def run(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        sources = [query] * 3 if alone else [query, key, value]
        if first:
            return module(*sources, **options)[0]
        return module(*(x.transpose(0, 1) for x in sources), **options)[0].transpose(0, 1)

    return run


def _assigned(draw, program: Program, at: int, heads: int) -> int:
    """Tokens read by weights that a layer makes of them: no scores, hence nothing is coupled or hidden."""
    features = program.shapes[at][-1]
    value = program.layer(at, nn.Linear(features, draw(st.integers(1, 3)), bias=draw(st.booleans())))[0]
    raw = program.layer(at, nn.Linear(features, draw(st.integers(1, 3)), bias=draw(st.booleans())))[0]
    acts = [lambda x: x.softmax(-1), torch.sigmoid, F.relu, torch.tanh]
    weights = program.function(raw, draw(st.sampled_from(acts)), reads=lambda x: x)
    turned = program.function(weights, lambda x: x.transpose(1, 2))
    return program.mix(turned, value, attention=False, run=draw(st.sampled_from([torch.matmul, torch.bmm])))


ATTENTION = {
    "across channels": _across_channels,
    "assigned": _assigned,
    "by hand": _by_hand,
    "fused": _fused,
    "grouped": _grouped,
    "module": _module,
    "talking heads": _talking,
    "windowed": _windowed,
}
