"""Attention, written out in functions that the table knows."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.table import register


@register("scaled_dot_product_attention")
def scaled_dot_product(
    call: Call,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Each query reads the values that no mask forbids; queries and keys are the control."""
    del dropout_p, scale
    return call.written_out(_attend, query, key, value, attn_mask, is_causal, enable_gqa)


@register("multi_head_attention_forward")
def multi_head(
    call: Call,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Any:
    """`nn.MultiheadAttention`; its packed in-projection is three layers, q, k and v."""
    del embed_dim_to_check, dropout_p, training, is_causal  # a hint beside attn_mask
    if static_k is not None or static_v is not None:
        raise call.unknown("is given static keys or values")

    def written_out() -> tuple[Tensor, Tensor | None]:
        if use_separate_proj_weight:
            weights = [q_proj_weight, k_proj_weight, v_proj_weight]
        else:
            assert in_proj_weight is not None
            weights = list(in_proj_weight.chunk(3))
        biases = [None] * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
        batched = query.ndim == 3  # (tokens, samples, features), as the module hands them over
        sources = [x if batched else x.unsqueeze(1) for x in (query, key, value)]
        q, k, v = (F.linear(x, w, b) for x, w, b in zip(sources, weights, biases, strict=True))  # type: ignore[arg-type]
        samples, width = q.shape[1], q.shape[2]
        masks = [_as_scores(attn_mask), _as_scores(key_padding_mask)]
        if bias_k is not None and bias_v is not None:
            k = torch.cat([k, bias_k.expand(1, samples, width)])
            v = torch.cat([v, bias_v.expand(1, samples, width)])
        if add_zero_attn:
            k, v = (torch.cat([x, torch.zeros_like(x[:1])]) for x in (k, v))
        # (samples, heads, tokens, features of a head)
        q, k, v = (x.reshape(*x.shape[:2], num_heads, -1).permute(1, 2, 0, 3) for x in (q, k, v))
        scores = q @ k.transpose(-2, -1)
        for i, mask in enumerate(masks):
            if mask is None:
                continue
            added = F.pad(mask, (0, scores.shape[-1] - mask.shape[-1]))
            if i == 1:
                added = added.reshape(-1, 1, 1, added.shape[-1])
            elif added.ndim == 3:
                added = added.unflatten(0, (-1, num_heads))  # type: ignore[no-untyped-call]
            scores = scores + added
        weights_read = scores.softmax(dim=-1)
        made = F.linear((weights_read @ v).permute(2, 0, 1, 3).flatten(2), out_proj_weight, out_proj_bias)
        read = weights_read.mean(dim=1) if average_attn_weights else weights_read
        if not batched:
            made, read = made.squeeze(1), read.squeeze(0)
        return made, read if need_weights else None

    return call.written_out(written_out)


def _as_scores(mask: Tensor | None) -> Tensor | None:
    """What is added to scores: a bool mask says what may not be read."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, device=mask.device).masked_fill(mask, -torch.inf)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_causal: bool, enable_gqa: bool
) -> Tensor:
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], dim=-3) for x in (key, value))
    scores = query @ key.transpose(-2, -1)
    if is_causal:
        allowed = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
        scores = scores.masked_fill(~allowed, -torch.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(dim=-1) @ value


@register("glu")
def gated_linear_unit(call: Call, input: Tensor, dim: int = -1) -> Any:
    """One half, steered by the sigmoid of the other."""

    def written_out() -> Tensor:
        value, gate = input.chunk(2, dim)
        return value * gate.sigmoid()

    return call.written_out(written_out)
