"""Budgets: exact in all, never above a layer's size, and as the formula says."""

import math
import multiprocessing

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_layers import layer_of, layers_and_keep
from torch import nn

import nodepath
from nodepath import models
from nodepath.budgets import BUDGETS, Erk, Uniform, apportion, rescale
from nodepath.errors import BudgetError
from nodepath.paths import Network
from nodepath.paths.layer import Layer

SETTINGS = settings(deadline=None, max_examples=200, derandomize=True)


@pytest.mark.filterwarnings("ignore::nodepath.errors.BudgetWarning")
@pytest.mark.parametrize("name", BUDGETS)
@SETTINGS
@given(layers_and_keep())
def test_totals_are_exact_and_no_layer_exceeds_its_size(name, case):
    made, keep = case
    counts = BUDGETS[name]()(made, keep)
    assert list(counts) == [layer.name for layer in made]
    assert sum(counts.values()) == keep
    assert all(0 <= counts[layer.name] <= layer.size for layer in made)
    assert all(isinstance(count, int) for count in counts.values())


def erk_density(layer: Layer) -> float:
    """Evci et al., of one group: (n_in + n_out + kernel sides) / (n_in n_out kernel cells)."""
    inputs, outputs, kernel = layer.inputs // layer.groups, layer.outputs // layer.groups, layer.shape[2:]
    return (inputs + outputs + sum(kernel)) / (inputs * outputs * math.prod(kernel))


@SETTINGS
@given(layers_and_keep())
def test_erk_is_proportional_to_the_formula_where_no_layer_is_full(case):
    """One factor for all layers that are not full; a full one deserves at least as much as it holds."""
    made, keep = case
    counts = Erk()(made, keep)
    wishes = {layer.name: erk_density(layer) * layer.size for layer in made}
    partial = [layer for layer in made if counts[layer.name] < layer.size]
    if not partial:
        return
    # each count is within one of factor * wish: so the factors that the counts allow overlap
    lowest = max((counts[la.name] - 1) / wishes[la.name] for la in partial)
    highest = min((counts[la.name] + 1) / wishes[la.name] for la in partial)
    assert lowest <= highest * (1 + 1e-9)
    for layer in made:
        if layer not in partial:
            assert (layer.size - 1) / wishes[layer.name] <= highest * (1 + 1e-9)


@SETTINGS
@given(layers_and_keep())
def test_uniform_has_one_density(case):
    made, keep = case
    density = keep / sum(layer.size for layer in made)
    for name, count in Uniform()(made, keep).items():
        size = next(layer.size for layer in made if layer.name == name)
        assert abs(count - density * size) < 1 + 1e-6


def test_erk_of_a_saturated_network_is_solved_again_for_the_others():
    """By hand: 2 x 2 is full at 4, the rest is shared in proportion to 10 + 10 and 40 + 40."""
    made = [
        layer_of("small", (2, 2)),
        layer_of("middle", (10, 10)),
        layer_of("large", (40, 40)),
    ]
    assert Erk()(made, 104) == {"small": 4, "middle": 20, "large": 80}
    # 454 - 4 = 450 would give the middle 90; 604 - 4 = 600 would give it 120: full as well
    assert Erk()(made, 454) == {"small": 4, "middle": 90, "large": 360}
    assert Erk()(made, 604) == {"small": 4, "middle": 100, "large": 500}


def test_erk_of_a_depthwise_layer_is_that_of_one_group():
    made = [
        layer_of("depthwise", (50, 1, 3, 3), groups=50),
        layer_of("dense", (50, 50, 3, 3)),
    ]
    counts = Erk()(made, 506)
    # 50 x (1 + 1 + 6) = 400 against 50 + 50 + 6 = 106
    assert counts == {"depthwise": 400, "dense": 106}


def test_erk_of_a_transposed_convolution_is_that_of_its_mirror_image():
    plain = layer_of("w", (8, 4, 3))
    mirrored = layer_of("w", (4, 8, 3), transposed=True)
    other = layer_of("o", (30, 30))
    assert Erk()([plain, other], 60) == Erk()([mirrored, other], 60)


def test_erk_of_resnet20_at_90_percent_fills_two_layers_and_shares_the_rest_out_by_the_formula():
    network = Network(models.create("resnet20"), torch.zeros(1, 3, 32, 32))
    made = list(network.layers.values())
    counts = Erk()(made, round(0.1 * 270_896))
    assert sum(counts.values()) == 27_090
    assert [la.shape for la in made if counts[la.name] == la.size] == [(32, 16, 1, 1), (10, 64)]
    ratio = {la.name: counts[la.name] / (erk_density(la) * la.size) for la in made if counts[la.name] < la.size}
    assert max(ratio.values()) == pytest.approx(min(ratio.values()), rel=0.01)


def test_erk_is_found_by_name():
    assert BUDGETS["erk"] is Erk


def test_uniform_is_what_scope_layerwise_gives():
    assert BUDGETS["random-uniform"] is Uniform
    model, x = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2)), torch.zeros(1, 4)
    masks = [nodepath.prune(model, x, "random", sparsity=0.5, scope=scope) for scope in ("layerwise", "random-uniform")]
    assert masks[0] == masks[1]


@pytest.mark.parametrize("name", BUDGETS)
def test_more_than_there_is_is_an_error_that_says_how_many_there_are(name):
    with pytest.raises(BudgetError, match="cannot keep 37 weights: there are only 36"):
        BUDGETS[name]()([layer_of("c", (2, 2, 3)), layer_of("l", (4, 6))], 37)


@pytest.mark.parametrize("name", BUDGETS)
def test_every_budget_says_where_it_comes_from(name):
    reference = BUDGETS[name].reference
    assert reference.arxiv in (BUDGETS[name].__doc__ or "")
    assert reference.authors[0].split()[-1] in (BUDGETS[name].__doc__ or "")


@pytest.mark.filterwarnings("ignore::nodepath.errors.BudgetWarning")
@pytest.mark.parametrize("name", BUDGETS)
def test_as_a_method_it_keeps_random_cells_at_its_counts(name):
    model, x = models.create("convnet4", num_classes=10, seed=0), torch.zeros(1, 1, 28, 28)
    network = Network(model, x)
    masks = [nodepath.prune(model, x, name, sparsity=0.9, exclude="*1*.weight", seed=seed) for seed in (0, 1)]
    made = [layer for layer in network.layers.values() if layer.name in masks[0]]
    assert 0 < len(made) < len(network.layers)
    counts = BUDGETS[name]()(made, masks[0].kept)
    assert [{n: int(m.sum()) for n, m in some.items()} for some in masks] == [counts, counts]
    assert masks[0] != masks[1]


def test_budgets_read_the_layers_of_a_network():
    network = Network(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2)), torch.zeros(1, 4))
    assert Uniform()(list(network.layers.values()), 18) == {"0.weight": 12, "1.weight": 6}


# the arithmetic


@st.composite
def wishes(draw):
    caps = {f"n{i}": cap for i, cap in enumerate(draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=12)))}
    weights = {name: draw(st.floats(1e-3, 1e6)) for name in caps}
    return weights, caps, draw(st.integers(0, sum(caps.values())))


@SETTINGS
@given(wishes())
def test_rescaled_amounts_sum_to_the_budget_in_proportion(case):
    weights, caps, keep = case
    amounts = rescale(weights, caps, keep)
    assert sum(amounts.values()) == pytest.approx(keep, rel=1e-9)
    assert all(0 <= amounts[n] <= caps[n] * (1 + 1e-12) for n in caps)
    free = [amounts[n] / weights[n] for n in caps if amounts[n] < caps[n]]
    if free:
        assert max(free) == pytest.approx(min(free), rel=1e-6)
        assert all(caps[n] / weights[n] <= max(free) * (1 + 1e-6) for n in caps if amounts[n] >= caps[n])


@SETTINGS
@given(wishes())
def test_apportioned_counts_sum_to_the_budget_and_stay_within_one_of_the_amounts(case):
    weights, caps, keep = case
    amounts = rescale(weights, caps, keep)
    counts = apportion(amounts, caps, keep)
    assert sum(counts.values()) == keep
    assert all(0 <= counts[n] <= caps[n] for n in caps)
    assert all(abs(counts[n] - amounts[n]) < 1 + 1e-6 for n in caps)


def test_apportion_gives_the_rest_to_the_largest_remainders_and_ties_to_the_first():
    caps = dict.fromkeys("abc", 10)
    assert apportion({"a": 1.2, "b": 1.7, "c": 1.1}, caps, 4) == {"a": 1, "b": 2, "c": 1}
    assert apportion({"a": 1.5, "b": 1.5, "c": 1.0}, caps, 4) == {"a": 2, "b": 1, "c": 1}
    assert apportion({"a": 2.6, "b": 0.4}, {"a": 2, "b": 5}, 3) == {"a": 2, "b": 1}


def test_a_budget_beyond_all_layers_is_an_error_that_says_how_many_there_are():
    with pytest.raises(BudgetError, match="cannot keep 11 weights: there are only 10"):
        rescale({"a": 1.0}, {"a": 10}, 11)


def test_apportion_beyond_all_caps_is_an_error_and_no_endless_loop():
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool, pytest.raises(BudgetError):  # in a process of its own, which can be ended
        pool.apply_async(apportion, ({"a": 11.0}, {"a": 10}, 11)).get(timeout=20)
