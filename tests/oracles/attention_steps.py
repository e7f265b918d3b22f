"""Attention taken apart into steps."""

from collections.abc import Callable

import torch
from linking import Apply, Function
from program import Program, Step
from spellings import Attend, heads_of, merged
from torch import Tensor, nn


def attention(
    program: Program,
    q: int,
    k: int,
    v: int,
    *,
    heads: int,
    run: Attend,
    key_heads: int | None = None,
    allowed: Tensor | None = None,
    channels: bool = False,
    before: nn.Linear | None = None,
    after: nn.Linear | None = None,
) -> int:
    """What `run` makes of q, k and v of shape (tokens, features).

    Args:
        program: Gets the steps.
        q, k, v: Values.
        heads: Number of heads.
        run: The call that does it all.
        key_heads: Heads of k and v, if fewer.
        allowed: Which key each query reads.
        channels: Features attend to features instead of tokens to tokens.
        before, after: Layers over the heads on scores and weights, registered with the program. A head whose scores are
            all zero reads every token alike; one whose weights are all zero reads nothing, unless there is a bias.
    """
    mixed = mixture(
        program,
        q,
        k,
        v,
        heads=heads,
        key_heads=key_heads,
        allowed=allowed,
        channels=channels,
        before=before,
        after=after,
    )
    return program.add_step(Step((mixed,), run, Function(_merging(channels)), called_with=(q, k, v)), constant=False)


def mixture(
    program: Program,
    q: int,
    k: int,
    v: int,
    *,
    heads: int,
    key_heads: int | None = None,
    allowed: Tensor | None = None,
    channels: bool = False,
    before: nn.Linear | None = None,
    after: nn.Linear | None = None,
) -> int:
    """Virtual steps up to the values that each head reads: (heads, queries, features), or (heads, features, tokens)."""
    key_heads = key_heads or heads
    split = [
        program.function(at, _splitting(of, heads // of, channels), virtual=True)
        for at, of in ((q, heads), (k, key_heads), (v, key_heads))
    ]
    scores = program.score(split[0], split[1], virtual=True)
    if before is not None:
        scores = _over_heads(program, scores, before, open_anyway=True)
    if allowed is not None:
        scores = program.hide(scores, allowed, lambda x: x, virtual=True)
    weights = program.softmax(scores, virtual=True)
    if after is not None:
        weights = _over_heads(program, weights, after, open_anyway=after.bias is not None)
    return program.mix(weights, split[2], virtual=True)


def _splitting(heads: int, copies: int, channels: bool) -> Callable[[Tensor], Tensor]:
    def split(x: Tensor) -> Tensor:
        x = heads_of(x, heads).repeat_interleave(copies, 1)
        return x.transpose(-2, -1) if channels else x

    return split


def _merging(channels: bool) -> Callable[[Tensor], Tensor]:
    return lambda x: merged(x.transpose(-2, -1) if channels else x)


def _over_heads(program: Program, at: int, layer: nn.Linear, *, open_anyway: bool) -> int:
    last = program.function(at, lambda x: x.permute(0, 2, 3, 1), virtual=True)
    step = Step((last,), layer, Apply(layer, layer.weight, seeds=open_anyway), virtual=True)
    return program.function(program.add_step(step, constant=False), lambda x: x.permute(0, 3, 1, 2), virtual=True)


def multihead(
    program: Program,
    query: int,
    key: int,
    value: int,
    module: nn.MultiheadAttention,
    *,
    run: Callable[..., Tensor],
    allowed: Tensor | None = None,
) -> int:
    """`nn.MultiheadAttention`, registered with the program: its in-projection is three layers.

    `run` is handed the three values.
    """
    bias = module.in_proj_bias is not None
    size = module.embed_dim
    if module.in_proj_weight is not None:
        owners = [(module.in_proj_weight, part, slice(i * size, (i + 1) * size)) for i, part in enumerate("qkv")]
    else:
        separate = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
        owners = [(owner, "", slice(0, size)) for owner in separate]
    q, k, v = (
        program.part(at, owner, part, rows, bias=bias)
        for at, (owner, part, rows) in zip((query, key, value), owners, strict=True)
    )
    if module.bias_k is not None:  # a key and a value more, which are constants
        k, v = (
            program.function(at, lambda x: torch.cat([x, torch.ones_like(x[:, :1])], 1), virtual=True) for at in (k, v)
        )
    if module.add_zero_attn:
        k, v = (
            program.function(at, lambda x: torch.cat([x, torch.zeros_like(x[:, :1])], 1), virtual=True) for at in (k, v)
        )
    mixed = mixture(program, q, k, v, heads=module.num_heads, allowed=allowed)
    joined = program.function(mixed, merged, virtual=True)
    out = module.out_proj
    step = Step((joined,), run, Apply(out, out.weight), called_with=(query, key, value))
    return program.add_step(step, constant=out.bias is not None)
