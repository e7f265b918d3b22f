"""Expander: even degrees, a certified gap, counts by budget."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.budgets import BUDGETS
from nodepath.errors import ArgumentError, CollapseWarning, ExpansionWarning, UnknownNameError
from nodepath.methods import expander
from nodepath.methods.even.pairs import even_pairs
from nodepath.methods.expander_gap import bound, second_singular_value
from nodepath.paths import Network


def pruned(model: nn.Module, x: Tensor, **arguments) -> nodepath.MaskSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return nodepath.prune(model, x, "expander", on_collapse="warn", **arguments)


def graphs(network: Network, masks: nodepath.MaskSet) -> list[tuple[str, Tensor]]:
    """(outputs, inputs x cells) of each group, or of q, k and v, of each layer."""
    found = []
    for name, layer in network.layers.items():
        if len(layer.rows) > 1:
            found += [(name, part) for part in masks[name].split(list(layer.rows))]
        else:
            found += [(name, kernels.flatten(1)) for kernels in layer.kernels(masks[name])]
    return found


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


def kinds() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.ReLU()),
        *(nn.Conv2d(12, 16, (1, 3)), nn.ReLU(), nn.Conv2d(16, 8, 3, groups=4), nn.ReLU()),
        *(nn.ConvTranspose2d(8, 12, 2, groups=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)),
    )


NETWORKS = {"kinds": (kinds, torch.zeros(1, 3, 9, 9)), "attention": (Attention, torch.zeros(1, 4, 12))}


@pytest.mark.parametrize("sparsity", [0.03, 0.35, 0.5, 0.8, 0.93])
@pytest.mark.parametrize("kind", NETWORKS)
def test_degrees_differ_by_one_at_most_on_both_sides_of_each_graph(kind, sparsity):
    model, x = NETWORKS[kind][0](), NETWORKS[kind][1]
    network = Network(model, x)
    for seed in range(3):
        masks = pruned(model, x, sparsity=sparsity, seed=seed)
        for name, graph in graphs(network, masks):
            for axis in (0, 1):
                degrees = graph.sum(axis)
                assert int(degrees.max() - degrees.min()) <= 1, name
        for name, layer in network.layers.items():  # the groups share the layer's weights out evenly
            numbers = [int(graph.sum()) for other, graph in graphs(network, masks) if other == name]
            assert max(numbers) - min(numbers) <= 1, layer


def test_packed_projections_have_equal_parts():
    masks = pruned(Attention(), NETWORKS["attention"][1], sparsity=0.8)
    assert len({int(part.sum()) // 2 for part in masks["attention.in_proj_weight"].chunk(3)}) == 1


@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.95])
def test_all_graphs_of_mean_degree_3_are_within_the_tolerance(sparsity):
    """By numpy's decomposition of each, on a network whose layers are of many shapes."""
    model, x = nodepath.models.create("resnet20", num_classes=10, seed=0), torch.zeros(1, 3, 32, 32)
    masks, checked = pruned(model, x, sparsity=sparsity), 0
    for _, graph in graphs(Network(model, x), masks):
        left, right = graph.sum(1).double().mean(), graph.sum(0).double().mean()
        if min(left, right) >= 3:
            second = np.linalg.svd(graph.double().numpy(), compute_uv=False)[1]
            assert second <= 1.05 * (math.sqrt(left - 1) + math.sqrt(right - 1))
            checked += 1
    assert checked >= 1


def test_graph_that_misses_the_bound_is_drawn_again(monkeypatch):
    """Two halves that nothing joins: all degrees are 3, the second singular value is 3, and the bound 2.97."""
    drawn = []

    def apart_at_first(inputs: Tensor, outputs: Tensor, number: int, generator: torch.Generator) -> Tensor:
        drawn.append(number)
        if len(drawn) > 2:
            return even_pairs(inputs, outputs, number, generator)
        half = torch.ones(3, 3, dtype=torch.bool)
        return torch.block_diag(half, half, half, half) > 0

    monkeypatch.setattr(expander, "even_pairs", apart_at_first)
    model, x = nn.Sequential(nn.Linear(12, 12)), torch.zeros(1, 12)
    masks = pruned(model, x, layer_counts={"0.weight": 36})
    assert drawn == [36] * 3
    assert second_singular_value(masks["0.weight"]) < 1.05 * 2 * math.sqrt(2)


def test_graph_that_misses_the_bound_in_all_draws_is_the_best_of_them_with_a_warning(monkeypatch):
    model, x = nn.Sequential(nn.Linear(300, 300)), torch.zeros(1, 300)
    drawn: list[Tensor] = []

    def noted(*arguments) -> Tensor:
        drawn.append(even_pairs(*arguments))
        return drawn[-1]

    monkeypatch.setattr(expander, "even_pairs", noted)
    # degrees of 3 and 4 are 3 % and more above the bound of their mean
    message = r"second singular value of '0\.weight' is [\d.]+% above the bound in the best of 3 draws"
    with pytest.warns(ExpansionWarning, match=message):
        masks = pruned(model, x, layer_counts={"0.weight": 960}, tolerance=0, tries=3)
    values = [second_singular_value(pairs) for pairs in drawn]
    assert len(drawn) == 3
    assert second_singular_value(masks["0.weight"]) == min(values) < max(values)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pruned(model, x, layer_counts={"0.weight": 960}, tolerance=1, tries=1)


def test_graphs_of_lower_degree_are_drawn_once(monkeypatch):
    drawn = []
    monkeypatch.setattr(expander, "even_pairs", lambda *a: drawn.append(1) or even_pairs(*a))
    pruned(nn.Sequential(nn.Linear(12, 12)), torch.zeros(1, 12), layer_counts={"0.weight": 30}, tolerance=0)
    assert drawn == [1]


def test_random_graphs_expand_as_in_the_literature():
    """256 nodes a side, degree 15: Havel-Hakimi's graph has 14.92, permutations some 7.4, and the bound is 7.48."""
    everyone = torch.zeros(256, dtype=torch.bool)
    values = [
        second_singular_value(even_pairs(everyone, everyone, 256 * 15, torch.Generator().manual_seed(seed)))
        for seed in range(5)
    ]
    assert bound(even_pairs(everyone, everyone, 256 * 15, torch.Generator())) == pytest.approx(2 * math.sqrt(14))
    assert 7.1 < min(values) < max(values) < 7.55


class TestSecondSingularValue:
    @pytest.mark.parametrize("shape", [(1, 9), (2, 2), (7, 30), (40, 6), (25, 25)])
    def test_is_the_second_of_a_decomposition(self, shape):
        graph = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.4
        values = [*np.linalg.svd(graph.double().numpy(), compute_uv=False), 0.0]
        assert second_singular_value(graph) == pytest.approx(values[1], abs=1e-5)

    @pytest.mark.parametrize(("inputs", "outputs", "number"), [(1030, 1100, 4000), (1200, 1026, 30_000)])
    def test_of_a_large_graph_is_found_by_iteration(self, inputs, outputs, number):
        needs = [torch.zeros(size, dtype=torch.bool) for size in (inputs, outputs)]
        graph = even_pairs(*needs, number, torch.Generator().manual_seed(0))
        exact = torch.linalg.svdvals(graph.double())[1].item()
        assert exact * 0.999 < second_singular_value(graph) < exact * 1.002

    def test_of_a_large_graph_that_falls_apart_is_the_first(self):
        needs = torch.zeros(520, dtype=torch.bool)
        half = even_pairs(needs, needs, 520 * 3, torch.Generator().manual_seed(0))
        assert second_singular_value(torch.block_diag(half, half) > 0) == pytest.approx(3)

    def test_is_not_asked_for_below_degree_3(self):
        graph = torch.eye(4, dtype=torch.bool)
        assert bound(graph) is None
        assert bound(torch.ones(3, 5, dtype=torch.bool)) == pytest.approx(2 + math.sqrt(2))
        assert bound(torch.ones(2, 5, dtype=torch.bool)) is None


class TestCounts:
    @pytest.fixture(scope="class")
    def model(self) -> nn.Module:
        return nodepath.models.create("resnet20", num_classes=10, seed=0)

    X = torch.zeros(1, 3, 32, 32)

    @staticmethod
    def counts(masks: nodepath.MaskSet) -> dict[str, int]:
        return {name: int(mask.sum()) for name, mask in masks.items()}

    def expected(self, model: nn.Module, budget: str) -> dict[str, int]:
        return BUDGETS[budget]()(list(Network(model, self.X).layers.values()), 27_090)

    def test_are_those_of_erk(self, model):
        assert self.counts(pruned(model, self.X, sparsity=0.9)) == self.expected(model, "erk")

    def test_are_those_of_the_budget_or_of_the_scope(self, model):
        by_budget = pruned(model, self.X, sparsity=0.9, budget="igq")
        assert self.counts(by_budget) == self.expected(model, "igq")
        assert pruned(model, self.X, sparsity=0.9, scope="igq") == by_budget
        layerwise = self.counts(pruned(model, self.X, sparsity=0.9, scope="layerwise"))
        assert layerwise == self.expected(model, "random-uniform")

    def test_in_one_ranking_make_no_sense(self, model):
        with pytest.raises(ArgumentError, match=r"scope='global'.*'erk'"):
            pruned(model, self.X, sparsity=0.9, scope="global")

    def test_of_no_budget_are_refused(self, model):
        with pytest.raises((ArgumentError, UnknownNameError), match="did you mean 'erk'"):
            pruned(model, self.X, sparsity=0.9, budget="erkk")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("tolerance", value) for value in (-0.1, "wide", True, float("nan"), None)),
        *(("tries", value) for value in (0, 1.5, True, "many")),
        ("budget", 3),
    ],
)
def test_options_that_make_no_sense_are_refused(option, value):
    with pytest.raises(ArgumentError, match=f"{option} is {value!r}"):
        nodepath.prune(nn.Linear(4, 4), torch.zeros(1, 4), "expander", sparsity=0.5, **{option: value})


def test_two_seeds_share_no_more_than_chance():
    """A tenth of all weights kept twice: they share about a tenth of theirs."""
    model, x = nn.Sequential(nn.Linear(100, 100)), torch.zeros(1, 100)
    first, second = (pruned(model, x, sparsity=0.9, seed=seed)["0.weight"] for seed in (0, 1))
    assert 60 < int((first & second).sum()) < 140
