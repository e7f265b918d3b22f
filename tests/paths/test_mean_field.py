import itertools
import math

import pytest
import torch
from torch import nn

import nodepath
from nodepath.paths import Network
from nodepath.paths.flow import flow
from nodepath.paths.mean_field import mean_field
from nodepath.paths.path_bound import log10_path_bound

NETWORKS = {
    "resnet20": (3, 32, 32),
    "lenet5": (1, 32, 32),
    "torchvision:mobilenet_v3_small": (3, 64, 64),
    "torchvision:resnext50_32x4d": (3, 64, 64),
    "torchvision:vit_b_32": (3, 224, 224),
}


def drawn(network: Network) -> tuple[dict, dict, dict]:
    """Densities and living outputs at random, and the same as a weight an edge."""
    generator = torch.Generator().manual_seed(1)
    densities, living, edges = {}, {}, {}
    for name, layer in network.layers.items():
        parts = []
        for row, rows in zip(layer.first_rows, layer.rows, strict=True):
            density = torch.rand(layer.shape[2:], generator=generator, dtype=torch.float64) * 0.9 + 0.1
            outputs = layer.outputs if len(layer.rows) == 1 else rows
            alive = torch.rand(outputs, generator=generator) < 0.7
            alive[0] = True
            densities[name, row], living[name, row] = density, alive
            parts.append(alive.double().reshape(-1, *[1] * (len(layer.shape) - 1)) * density)
        edges[name] = torch.cat(parts).expand(layer.shape).contiguous()
    return densities, living, edges


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
@pytest.mark.parametrize("name", NETWORKS)
def test_expected_paths_are_those_of_edges_of_these_weights(name, resolution):
    network = Network(nodepath.models.create(name, seed=0), torch.zeros(1, *NETWORKS[name]), resolution)
    densities, living, edges = drawn(network)
    expected = flow(network, edges)
    found = mean_field(network, densities, living)
    assert found.log2_paths == pytest.approx(expected.log2_paths, abs=1e-9)
    for layer_name, layer in network.layers.items():
        for row, rows in zip(layer.first_rows, layer.rows, strict=True):
            share = expected.weights[layer_name][row : row + rows if len(layer.rows) > 1 else None]
            assert float(found.shares[layer_name, row].sum()) == pytest.approx(float(share.sum()), abs=1e-9)


def test_expectation_is_the_mean_over_all_masks():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    network = Network(model, torch.zeros(1, 2))
    total = 0.0
    for bits in itertools.product([0.0, 1.0], repeat=8):
        first, second = torch.tensor(bits).reshape(2, 2, 2)
        chance = math.prod(0.3 if b else 0.7 for b in bits[:4]) * math.prod(0.6 if b else 0.4 for b in bits[4:])
        total += chance * float((second @ first).sum())
    densities = {("0.weight", 0): torch.tensor(0.3), ("1.weight", 0): torch.tensor(0.6)}
    assert mean_field(network, densities, {}).log2_paths == pytest.approx(math.log2(total))


def small_networks() -> list[tuple[nn.Module, tuple[int, ...]]]:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.hidden, self.last = (nn.Linear(a, b, bias=False) for a, b in ((2, 2), (2, 2), (2, 1)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.last(x + self.hidden(x))

    pooled = nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.AvgPool2d(2, 1), nn.Conv2d(2, 1, 1, bias=False))
    chain = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 2, bias=False))
    return [(chain, (3,)), (Skip(), (2,)), (pooled, (1, 4, 4))]


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
@pytest.mark.parametrize("number", range(3))
def test_no_mask_has_more_paths_than_the_bound(number, resolution):
    model, shape = small_networks()[number]
    x = torch.zeros(1, *shape)
    network = Network(model, x, resolution)
    sizes = {name: layer.size for name, layer in network.layers.items()}
    for keep in range(1, sum(sizes.values()) + 1):
        bound = log10_path_bound(network, keep)
        best = -math.inf
        for chosen in itertools.combinations(range(sum(sizes.values())), keep):
            flat = torch.zeros(sum(sizes.values()), dtype=torch.bool)
            flat[list(chosen)] = True
            parts = torch.split(flat, list(sizes.values()))
            masks = {n: p.reshape(network.layers[n].shape) for n, p in zip(sizes, parts, strict=True)}
            best = max(best, flow(network, masks, weights=False).log2_paths * math.log10(2))
        assert best <= bound + 1e-9


@pytest.mark.parametrize("method", ["erk", "synflow", "npb", "npb-even"])
@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.99])
def test_the_bound_holds_for_the_masks_of_methods(method, sparsity):
    model, x = nodepath.models.create("lenet5", seed=0), torch.zeros(1, 1, 32, 32)
    masks = nodepath.prune(model, x, method, sparsity=sparsity, on_collapse="warn")
    assert nodepath.measure(model, x, masks).log10_paths <= log10_path_bound(Network(model, x), masks.kept)


def test_the_bound_is_reached_by_a_single_layer():
    """16 weights of 8 x 4: root(8 * 4 * 16) = 22.6 paths at most by norms; there are 16."""
    network = Network(nn.Linear(8, 4, bias=False), torch.zeros(1, 8))
    assert log10_path_bound(network, 32) == pytest.approx(math.log10(32))
    assert math.log10(16) <= log10_path_bound(network, 16) <= math.log10(23)
