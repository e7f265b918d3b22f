"""Kept weights that lie on no path are spent again where they do."""

import itertools
import warnings
from functools import cache

import pytest
import torch
from torch import nn

import nodepath
from nodepath.errors import BudgetWarning
from nodepath.methods.respend import respend
from nodepath.paths import Network


def mlp(sizes: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(sizes)))


def effective(masks: list[torch.Tensor]) -> int:
    """Weights of a chain of matrices (out, in) on a path, by boolean products."""
    reached = [torch.ones(masks[0].shape[1], dtype=torch.bool)]
    for mask in masks:
        reached.append((mask & reached[-1]).any(dim=1))
    wanted = torch.ones(masks[-1].shape[0], dtype=torch.bool)
    number = 0
    for mask, before in zip(reversed(masks), reversed(reached[:-1]), strict=True):
        alive = mask & before & wanted.unsqueeze(1)
        number += int(alive.sum())
        wanted = alive.any(dim=0)
    return number


@cache
def most(sizes: tuple[int, ...]) -> list[int]:
    """The most weights on a path among all masks of each count, by trying every mask."""
    shapes = [(b, a) for a, b in itertools.pairwise(sizes)]
    number = sum(a * b for a, b in shapes)
    best = [0] * (number + 1)
    for bits in itertools.product([False, True], repeat=number):
        flat = torch.tensor(bits)
        parts = flat.split([a * b for a, b in shapes])
        kept = int(flat.sum())
        best[kept] = max(
            best[kept], effective([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
        )
    return best


@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 1, 2), (1, 3, 2), (1, 2, 2, 1), (2, 1, 2, 1)])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_npb_has_as_many_weights_on_paths_as_any_mask_of_its_count(sizes, alpha):
    model, x = mlp(sizes), torch.zeros(1, sizes[0])
    for keep in range(1, len(most(sizes))):
        for seed in range(2):
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                masks = nodepath.prune(
                    model,
                    x,
                    "npb",
                    sparsity=1 - keep / (len(most(sizes)) - 1),
                    seed=seed,
                    alpha=alpha,
                    on_collapse="warn",
                )
            found = effective([masks[f"{place}.weight"] for place in range(len(sizes) - 1)])
            assert masks.kept == keep
            assert found == most(sizes)[keep]
            assert any(w.category is BudgetWarning for w in warned) == (found < keep)


def start(sizes: tuple[int, ...], *kept: list[tuple[int, int]]) -> tuple[Network, dict[str, torch.Tensor]]:
    """A network, and masks with weights (out, in) of each layer."""
    model = mlp(sizes)
    masks = {
        f"{place}.weight": torch.zeros(b, a, dtype=torch.bool) for place, (a, b) in enumerate(itertools.pairwise(sizes))
    }
    for mask, places in zip(masks.values(), kept, strict=True):
        for place in places:
            mask[place] = True
    return Network(model, torch.zeros(1, sizes[0])), masks


def spent(network: Network, masks: dict[str, torch.Tensor], seed: int = 0, **options: bool) -> dict[str, torch.Tensor]:
    return respend(network, masks, torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("seed", range(5))
def test_a_bridge_brings_a_dead_channel_back(seed):
    """Unit 1 is read but not reached; a weight that is not reached itself pays for it."""
    network, masks = start((2, 3, 1), [(0, 0)], [(0, 0), (0, 1), (0, 2)])
    done = spent(network, masks, seed)
    assert sum(int(mask.sum()) for mask in done.values()) == effective(list(done.values())) == 4
    assert int(done["0.weight"].any(dim=1).sum()) == 2


def test_places_in_the_own_layer_come_before_others():
    """With paths first no dead channel is brought back: the second layer's dead weight finds no place there."""
    network, masks = start((2, 2, 2), [(0, 0)], [(0, 0), (1, 1)])
    done = spent(network, masks, nodes_first=False)
    assert done["0.weight"].tolist() == [[True, False], [False, False]]
    assert done["1.weight"].tolist() == [[True, False], [True, False]]


def test_by_layer_every_count_stays():
    network, masks = start((3, 2, 2), [(0, 0), (0, 1)], [(0, 0), (0, 1)])
    done = spent(network, masks, by_layer=True)
    assert [int(mask.sum()) for mask in done.values()] == [2, 2]
    assert effective(list(done.values())) == 4


@pytest.mark.parametrize("seed", range(5))
def test_weights_without_a_path_make_one_together(seed):
    """All that lives is full: two dead weights make a way through the second unit, or the third."""
    network, masks = start((1, 3, 1), [(0, 0)], [(0, 0)])
    masks["1.weight"][0, 1] = masks["1.weight"][0, 2] = True
    done = spent(network, masks, seed)
    assert effective(list(done.values())) == 4


@pytest.mark.parametrize("seed", range(5))
def test_a_living_weight_gives_way_where_a_path_takes_more_than_are_dead(seed):
    """One input, one unit and three outputs are full with four weights; a fifth would take two."""
    network, masks = start((1, 2, 2, 3), [(0, 0)], [(0, 0)], [(0, 0), (1, 0), (2, 0), (0, 1)])
    masks["2.weight"][1, 1] = True
    done = spent(network, masks, seed)
    assert sum(int(mask.sum()) for mask in done.values()) == effective(list(done.values())) == 7


def test_what_can_lie_nowhere_stays_with_a_warning():
    """The second convolution reads padding alone."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 1, stride=8, padding=2, bias=False))
    network = Network(model, torch.zeros(1, 1, 4, 4))
    masks = {name: torch.ones(1, 1, 1, 1, dtype=torch.bool) for name in network.layers}
    with pytest.warns(BudgetWarning, match="2 of 2 kept weights lie on no path"):
        done = spent(network, masks)
    assert done == masks


class Skips(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 5)
        self.first, self.second = nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head((x + self.second(self.first(x))).mean(dim=(2, 3)))


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_random_masks_of_a_residual_network_end_with_all_on_paths(density, seed):
    model, x = Skips(), torch.zeros(1, 3, 4, 4)
    generator = torch.Generator().manual_seed(seed)
    network = Network(model, x)
    masks = {n: torch.rand(layer.shape, generator=generator) < density for n, layer in network.layers.items()}
    keep = sum(int(mask.sum()) for mask in masks.values())
    done = respend(network, masks, generator)
    assert nodepath.measure(model, x, nodepath.MaskSet(done)).effective == keep
