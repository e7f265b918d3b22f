"""Attention as people write it: q, k and v of (batch, tokens, features) to (batch, tokens, features)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
Masking = Callable[[Tensor], Tensor]


def heads_of(x: Tensor, heads: int) -> Tensor:
    """(batch, heads, tokens, features)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merged(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def by_matmul(heads: int, mask: Masking) -> Attend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, t, e = q.shape
        q, k, v = (x.view(b, x.shape[1], heads, e // heads).permute(0, 2, 1, 3) for x in (q, k, v))
        scores = mask((q * (e // heads) ** -0.5) @ k.transpose(-2, -1))
        made = F.dropout(scores.softmax(-1), 0.1, training=False) @ v
        return made.transpose(1, 2).reshape(b, t, e)

    return attend


def by_bmm(heads: int, mask: Masking) -> Attend:
    """Heads in the batch, as in BERT-like code of fairseq's."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, t, e = q.shape
        q, k, v = (heads_of(x, heads).reshape(b * heads, x.shape[1], e // heads) for x in (q, k, v))
        scores = torch.bmm(q, k.transpose(1, 2)) / (e // heads) ** 0.5
        scores = mask(scores.view(b, heads, t, -1)).view(b * heads, t, -1)
        made = torch.bmm(F.softmax(scores, dim=-1), v)
        return merged(made.view(b, heads, t, -1))

    return attend


def by_einsum(heads: int, mask: Masking) -> Attend:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.unflatten(-1, (heads, -1)) for x in (q, k, v))
        scores = mask(torch.einsum("bqhd,bkhd->bhqk", q, k))
        return torch.einsum("bhqk,bkhd->bqhd", torch.softmax(scores, dim=-1), v).flatten(2)

    return attend


def transposed_scores(heads: int, mask: Masking) -> Attend:
    """Softmax over the first of two axes: `v' softmax(k q')`."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (heads_of(x, heads) for x in (q, k, v))
        weights = mask((k @ q.mT).mT).mT.softmax(dim=-2)
        return merged((v.mT @ weights).mT)

    return attend


BY_HAND = [by_matmul, by_bmm, by_einsum, transposed_scores]


def fused(heads: int, **options: object) -> Attend:
    return lambda q, k, v: merged(F.scaled_dot_product_attention(*(heads_of(x, heads) for x in (q, k, v)), **options))


def grouped(heads: int, key_heads: int) -> Attend:
    """Several queries share a key: Ainslie et al., arXiv:2305.13245."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (heads_of(x, key_heads) for x in (k, v))
        return merged(F.scaled_dot_product_attention(heads_of(q, heads), k, v, enable_gqa=True))

    return attend


def repeated(heads: int, key_heads: int) -> Attend:
    """The same with the keys written out."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (heads_of(x, key_heads).repeat_interleave(heads // key_heads, 1) for x in (k, v))
        return merged((heads_of(q, heads) @ k.mT).softmax(-1) @ v)

    return attend


def windowed(heads: int, windows: int) -> Attend:
    """Attention within windows, which are put into the batch as in Swin (arXiv:2103.14030)."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, t, e = q.shape
        q, k, v = (heads_of(x.reshape(b * windows, t // windows, e), heads) for x in (q, k, v))
        return merged((q @ k.mT).softmax(-1) @ v).reshape(b, t, e)

    return attend


def across_channels(heads: int, *, normalized: bool) -> Attend:
    """Features attend to features, as in XCiT (arXiv:2106.09681)."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (heads_of(x, heads).transpose(-2, -1) for x in (q, k, v))
        if normalized:
            q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        return merged(((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(-2, -1))

    return attend


# how scores are masked: `seen` says which key (columns) each query (rows) may read


def filled(seen: Tensor) -> Masking:
    return lambda scores: scores.masked_fill(~seen, float("-inf"))


def filled_with_lowest(seen: Tensor) -> Masking:
    return lambda scores: scores.masked_fill(seen.logical_not(), torch.finfo(scores.dtype).min)


def added(seen: Tensor) -> Masking:
    return lambda scores: scores + torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))


def added_hundred(seen: Tensor) -> Masking:
    """As in Swin: exp(-100) is zero in practice."""
    return lambda scores: scores + torch.zeros(seen.shape).masked_fill(~seen, -100.0)


def chosen(seen: Tensor) -> Masking:
    return lambda scores: torch.where(seen, scores, torch.tensor(-1e9))


def unmasked(seen: Tensor) -> Masking:
    return lambda scores: scores


MASKINGS = [filled, filled_with_lowest, added, added_hundred, chosen]
