"""A GPT-style decoder of any size, to measure on: token ids in, tied head."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["GPT"]


class Block(nn.Module):
    """Causal attention and an MLP, each beside a skip."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.grow = nn.Linear(width, 4 * width)
        self.shrink = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) -> the same."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norms[0](x)).chunk(3, -1)
        )
        read = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(read.transpose(1, 2).flatten(2))
        return x + self.shrink(F.gelu(self.grow(self.norms[1](x))))


class GPT(nn.Module):
    """12 x width^2 x depth prunable weights; the head is tied to the embedding, hence not prunable."""

    def __init__(self, width: int, depth: int, vocabulary: int = 5000, tokens: int = 1024) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(tokens, width)
        self.blocks = nn.ModuleList(Block(width, max(1, width // 64)) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, tokens) -> (batch, tokens, vocabulary)."""
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))
