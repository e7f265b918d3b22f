import itertools

import pytest
import torch
from torch import Tensor, nn

from nodepath.paths import Network
from nodepath.paths.measure import measure_network
from nodepath.paths.node_bound import node_bound


class Projected(nn.Module):
    """A residual block whose shortcut is a projection, no node of which is one of the paper's."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"stem": (1, 1), "first": (1, 2), "second": (2, 1), "shortcut": (1, 1)}
        for name, (inputs, outputs) in sizes.items():
            setattr(self, name, nn.Conv2d(inputs, outputs, 1, bias=False))
        self.head = nn.Linear(1, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.second(self.first(x).relu()) + self.shortcut(x)
        return self.head(x.mean((2, 3)))


def chain(*sizes: int) -> nn.Module:
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(sizes)))


CONVS = nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.Conv2d(2, 1, 1, bias=False))
NETWORKS = {
    "funnel": (chain(3, 2, 1), (3,)),
    "fan": (chain(1, 2, 3), (1,)),
    "convolutions": (CONVS, (1, 2, 2)),
    "projected": (Projected(), (1, 1, 1)),
    "attention": (nn.MultiheadAttention(1, 1, bias=False, batch_first=True), ((1, 2, 1),) * 3),
}

REACHED = {  # at how many weights, before all nodes live
    ("funnel", "paper"): [2, 4],
    ("fan", "exact"): [2, 3, 4],
    ("fan", "paper"): [2, 4],
    ("convolutions", "exact"): [2],
    ("convolutions", "paper"): [2],
    ("projected", "exact"): [3, 4, 5, 6],
    ("projected", "paper"): [4, 5],
    ("attention", "paper"): [2],
}


def most_nodes(network: Network, keep: int, convention: str) -> int:
    """By looking at all masks."""
    sizes = {name: layer.size for name, layer in network.layers.items()}
    best = 0
    for chosen in itertools.combinations(range(sum(sizes.values())), keep):
        flat = torch.zeros(sum(sizes.values()), dtype=torch.bool)
        flat[list(chosen)] = True
        parts = torch.split(flat, list(sizes.values()))
        masks = {n: p.reshape(network.layers[n].shape) for n, p in zip(sizes, parts, strict=True)}
        best = max(best, measure_network(network, masks, convention=convention).nodes)
    return best


@pytest.mark.parametrize("convention", ["exact", "paper"])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_mask_has_more_nodes_than_the_bound(name, convention):
    model, shape = NETWORKS[name]
    x = tuple(torch.zeros(each) for each in shape) if isinstance(shape[0], tuple) else torch.zeros(1, *shape)
    network = Network(model, x)
    total = network.prunable
    dense = measure_network(network, convention=convention).dense_nodes
    bounds = [node_bound(network, keep, convention, dense) for keep in range(1, total + 1)]
    found = [most_nodes(network, keep, convention) for keep in range(1, total + 1)]
    assert all(most <= bound for most, bound in zip(found, bounds, strict=True))
    reached = [keep for keep in range(1, total + 1) if found[keep - 1] == bounds[keep - 1] < dense]
    assert reached == REACHED.get((name, convention), [])
