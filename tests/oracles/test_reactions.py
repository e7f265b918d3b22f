"""Effective weights are those that the outputs react to: gradients of the real network, which knows no table.

Without biases, with smooth functions and random weights, nothing cancels and nothing is constant by accident.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from spellings import across_channels, by_einsum, by_matmul, filled, fused, grouped, unmasked
from torch import Tensor, nn
from torch.func import functional_call

from nodepath import effective

FEATURES, TOKENS = 4, 3


class Gated(nn.Module):
    """Two gates, one after the other."""

    def __init__(self, product: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(FEATURES, FEATURES, bias=False) for _ in range(5))
        self.product = product

    def forward(self, x: Tensor) -> Tensor:
        x = self.product(self.parts[0](x), self.parts[1](x))
        return self.parts[4](self.product(self.parts[2](x), self.parts[3](x)) + x)


class SqueezeExcitation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(FEATURES, FEATURES, 3, padding=1, bias=False)
        self.down, self.up = (nn.Conv2d(FEATURES, FEATURES, 1, bias=False) for _ in range(2))
        self.last = nn.Conv2d(FEATURES, 2, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.unflatten(-1, (-1, 1)).expand(-1, -1, -1, TOKENS).transpose(1, 2))
        return self.last(x * torch.sigmoid(self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1))))))


class Attending(nn.Module):
    """Attention, and a residual that passes it by."""

    def __init__(self, attend: Callable[[Tensor, Tensor, Tensor], Tensor], key_features: int = FEATURES) -> None:
        super().__init__()
        self.q = nn.Linear(FEATURES, FEATURES, bias=False)
        self.k, self.v = (nn.Linear(FEATURES, key_features, bias=False) for _ in range(2))
        self.out = nn.Linear(FEATURES, FEATURES, bias=False)
        self.head = nn.Linear(FEATURES, 2, bias=False)
        self.attend = attend

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.out(self.attend(self.q(x), self.k(x), self.v(x)))).mean(1)


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(FEATURES, 2, bias=False, batch_first=True)
        self.head = nn.Linear(FEATURES, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0])


class Crossed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(FEATURES, 3, bias=False)
        self.attention = nn.MultiheadAttention(FEATURES, 2, bias=False, batch_first=True, kdim=3, vdim=3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.other(x)
        return self.attention(x, y, y)[0]


SEEN = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 1, 1]]).bool()
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "silu": lambda: Gated(lambda v, g: v * F.silu(g)),
    "tanh": lambda: Gated(lambda v, g: torch.tanh(g) * v),
    "tanh and sigmoid": lambda: Gated(lambda v, g: torch.sigmoid(g) * torch.tanh(v)),
    "gated linear unit": lambda: Gated(lambda v, g: F.glu(torch.cat([v, g], -1), -1)),
    "squeeze and excitation": SqueezeExcitation,
    "matmul": lambda: Attending(by_matmul(2, unmasked(SEEN))),
    "masked": lambda: Attending(by_einsum(1, filled(SEEN))),
    "causal": lambda: Attending(fused(2, is_causal=True)),
    "grouped": lambda: Attending(grouped(4, 2), key_features=2),
    "channels": lambda: Attending(across_channels(2, normalized=False)),
    "packed": Packed,
    "crossed": Crossed,
}


def reacting(model: nn.Module, x: Tensor, masks: dict[str, Tensor]) -> dict[str, Tensor]:
    """The kept weights that outputs have a slope in."""
    weights = {name: (torch.randn(mask.shape).double() * mask).requires_grad_() for name, mask in masks.items()}
    made = functional_call(model, weights, (x,))
    slopes = torch.autograd.grad((made * torch.randn(made.shape)).sum(), list(weights.values()))
    return {name: (slope.abs() > 1e-10) & mask for (name, mask), slope in zip(masks.items(), slopes, strict=True)}


@pytest.mark.parametrize("network", NETWORKS)
def test_effective_weights_are_those_that_outputs_react_to(network):
    model = NETWORKS[network]().double()
    for seed in range(25):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            density = [0.2, 0.35, 0.5, 0.7][seed % 4]
            masks = {name: torch.rand(weight.shape) < density for name, weight in model.named_parameters()}
            x = torch.rand(16, TOKENS, FEATURES).double() + 0.1
            expected = reacting(model, x, masks)
        found = effective(model, x[:1], masks)
        for name, mask in expected.items():
            assert torch.equal(found[name], mask), (seed, name)
