"""LAMP against its definition, written out."""

import math

import pytest
import torch
from torch import nn

import nodepath
from nodepath.errors import CollapseWarning
from nodepath.methods import Problem, create
from nodepath.paths import Network
from nodepath.scores import Subject
from nodepath.scores.lamp import Lamp

X = torch.zeros(1, 3, 6, 6)


def build() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return nn.Sequential(
            *(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
        )


def scores_of(model: nn.Module) -> dict[str, torch.Tensor]:
    network = Network(model, X)
    return Lamp()(Subject(network, torch.Generator()), network.weights())


def by_definition(weight: torch.Tensor) -> list[float]:
    """For each weight its square over the sum of the squares of those before it in the order of size, and its own."""
    values = weight.flatten().tolist()
    scores = []
    for place, value in enumerate(values):
        larger = [v for i, v in enumerate(values) if abs(v) > abs(value) or (abs(v) == abs(value) and i <= place)]
        total = math.fsum(v * v for v in larger)
        scores.append(value * value / total if total else 0.0)
    return scores


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_is_the_square_over_the_sum_of_all_squares_that_are_not_smaller(dtype):
    model = build().to(dtype)
    with torch.no_grad():
        weight = model.get_parameter("2.weight").view(-1)
        weight[5], weight[9], weight[20], weight[30] = 0.0, 0.0, -0.25, 0.25  # ties
    for name, score in scores_of(model).items():
        assert score.dtype == torch.float64
        assert score.shape == model.get_parameter(name).shape
        assert score.flatten().tolist() == pytest.approx(by_definition(model.get_parameter(name)), rel=1e-13, abs=0)


def test_ranks_the_earlier_of_equal_weights_first():
    model = build()
    with torch.no_grad():
        model.get_parameter("6.weight").fill_(-0.3)
    assert scores_of(model)["6.weight"].flatten().tolist() == pytest.approx([1 / n for n in range(1, 13)])


def test_follows_the_size_within_a_layer_and_the_largest_scores_one():
    model = build()
    for name, score in scores_of(model).items():
        order = model.get_parameter(name).abs().flatten().argsort(descending=True, stable=True)
        assert (score.flatten()[order].diff() < 0).all()
        assert score.max() == 1


def test_does_not_see_the_scale_of_a_layer():
    model, scaled = build(), build()
    with torch.no_grad():
        scaled.get_parameter("0.weight").mul_(2.0**-60)
        scaled.get_parameter("6.weight").mul_(2.0**100)
    first, second = scores_of(model), scores_of(scaled)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e200, 1e308])
def test_does_not_run_out_of_range(size):
    model = build().double()
    with torch.no_grad():
        model.get_parameter("6.weight").fill_(0.0).view(-1)[:2] = torch.tensor([size, size / 2], dtype=torch.float64)
    assert scores_of(model)["6.weight"].flatten().tolist() == pytest.approx([1, 0.2, *[0] * 10], rel=1e-3)


def test_of_zeros_is_zero():
    model = build()
    with torch.no_grad():
        model.get_parameter("0.weight").zero_()
    assert not scores_of(model)["0.weight"].any()


def test_gives_each_layer_a_budget_of_its_own_where_magnitude_empties_a_layer():
    model = build()
    with torch.no_grad():
        model.get_parameter("2.weight").mul_(1e-3)
    with pytest.warns(CollapseWarning, match=r"'2\.weight' keeps 0"):
        nodepath.prune(model, X, "magnitude", sparsity=0.8, on_collapse="warn")
    masks = nodepath.prune(model, X, "lamp", sparsity=0.8)
    assert all(mask.any() for mask in masks.values())
    assert masks == nodepath.prune(build(), X, "lamp", sparsity=0.8)


def test_keeps_its_best_over_all_layers_by_default():
    network = Network(build(), X)
    problem = Problem(network, Subject(network, torch.Generator()), network.weights(), tuple(network.layers), 60)
    choice = create("lamp")(problem)
    kept = torch.cat([choice.scores[name][mask] for name, mask in choice.masks.items()])
    lost = torch.cat([choice.scores[name][~mask] for name, mask in choice.masks.items()])
    assert len(kept) == 60
    assert kept.min() >= lost.max()
