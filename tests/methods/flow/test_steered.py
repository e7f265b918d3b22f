"""SynFlow where something steers: one recording if controls let the same pass whatever is pruned, else walks."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from problems import problem_of
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

import nodepath
from nodepath.methods.flow.by_flow import by_flow, walked
from nodepath.methods.problem import Problem
from nodepath.paths.reach import steering
from nodepath.paths.replay.recording import record
from nodepath.paths.semantics import EXACT, FLOW


class Gated(nn.Module):
    """A function of one layer times the values of another."""

    def __init__(self, function: Callable[[Tensor], Tensor], norm: nn.Module, *, bias: bool) -> None:
        super().__init__()
        self.norm, self.function = norm, function
        self.gate, self.value, self.head = nn.Linear(4, 6, bias=bias), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return self.head(self.function(self.gate(x)) * self.value(x))


class Attending(nn.Module):
    """Packed queries, keys and values beside a skip; nobody reads the last token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        last = torch.arange(x.shape[1]) == x.shape[1] - 1
        read, _ = self.attention(x, x, x, key_padding_mask=last.unsqueeze(0), need_weights=False)
        return self.head(x + read)


def squeezed() -> nn.Module:
    """Squeeze and excitation, and a mean of channels that lie last."""
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        SqueezeExcitation(8, 4),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        SqueezeExcitation(8, 4),
        nn.Conv2d(8, 6, 1),
        Last(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )


class Last(nn.Module):
    """The same values, channels last in memory."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


ALIKE = {
    "sigmoid": (lambda: Gated(torch.sigmoid, nn.Identity(), bias=False), (1, 4)),
    "silu with a bias": (lambda: Gated(F.silu, nn.Identity(), bias=True), (1, 4)),
    "squeeze and excitation": (squeezed, (1, 2, 6, 6)),
    "attention": (Attending, (1, 5, 6)),
}
APART = {
    "silu": (lambda: Gated(F.silu, nn.Identity(), bias=False), (1, 4)),
    "silu of a norm's bias": (lambda: Gated(F.silu, nn.LayerNorm(4), bias=False), (1, 4)),
}


def steered(
    made: tuple[Callable[[], nn.Module], tuple[int, ...]], resolution: str = "pixel", scope: str | None = None
) -> Problem:
    build, shape = made
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return problem_of(build().double(), torch.zeros(shape), 0.3, resolution, scope)


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
@pytest.mark.parametrize("kind", ALIKE)
def test_what_always_lets_the_same_pass_is_recorded(kind, resolution):
    network = steered(ALIKE[kind], resolution).network
    assert network.steers
    for semantics in (FLOW, EXACT):
        assert record(network, semantics) is not None


@pytest.mark.parametrize("kind", APART)
def test_what_a_mask_shuts_is_walked(kind):
    problem = steered(APART[kind])
    assert record(problem.network, FLOW) is None
    masks = nodepath.prune(problem.network.model, torch.zeros(1, 4), "synflow", sparsity=0.5, iterations=5)
    assert masks.kept == round(0.5 * problem.network.prunable)


@pytest.mark.parametrize("scope", ["global", "layerwise", "erk"])
@pytest.mark.parametrize(("at_random", "revive"), [((), True), (range(0, 3, 2), True), (range(0, 3, 2), False)])
@pytest.mark.parametrize("resolution", ["pixel", "channel"])
@pytest.mark.parametrize("kind", ALIKE)
def test_recorded_masks_are_those_of_walks(kind, resolution, at_random, revive, scope):
    found, expected = (
        prune(steered(ALIKE[kind], resolution, scope), 8, at_random, revive=revive) for prune in (by_flow, walked)
    )
    assert found.masks.keys() == expected.masks.keys()
    assert all(torch.equal(found.masks[name], expected.masks[name]) for name in expected.masks)


@pytest.mark.parametrize("kind", ["squeeze and excitation", "attention"])
def test_only_what_steers_has_no_rank(kind):
    """So that no control that was drawn pays for what an emptied layer gets back."""
    problem = steered(ALIKE[kind])
    scores, cells = by_flow(problem, 8).scores, steering(problem.network)
    assert cells
    for name in problem.included:
        unranked = scores[name] == -torch.inf
        assert torch.equal(unranked, cells.get(name, torch.zeros_like(unranked)))
