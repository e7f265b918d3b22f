"""ER, balanced and IGQ: by their formulas."""

import pytest
import torch
from hypothesis import given, settings
from made_layers import layer_of, layers_and_keep

from nodepath import models
from nodepath.budgets.balanced import Balanced
from nodepath.budgets.er import Er
from nodepath.budgets.erk import Erk
from nodepath.budgets.igq import Igq
from nodepath.paths import Network
from nodepath.paths.layer import Layer

SETTINGS = settings(deadline=None, max_examples=150, derandomize=True)


def er_density(layer: Layer) -> float:
    """Mocanu et al., of one group: (n_in + n_out) / (n_in n_out)."""
    inputs, outputs = layer.inputs // layer.groups, layer.outputs // layer.groups
    return (inputs + outputs) / (inputs * outputs)


@SETTINGS
@given(layers_and_keep())
def test_er_is_proportional_to_the_formula_where_no_layer_is_full(case):
    made, keep = case
    counts = Er()(made, keep)
    wishes = {layer.name: er_density(layer) * layer.size for layer in made}
    partial = [layer for layer in made if counts[layer.name] < layer.size]
    if not partial:
        return
    lowest = max((counts[la.name] - 1) / wishes[la.name] for la in partial)
    highest = min((counts[la.name] + 1) / wishes[la.name] for la in partial)
    assert lowest <= highest * (1 + 1e-9)
    for layer in made:
        if layer not in partial:
            assert (layer.size - 1) / wishes[layer.name] <= highest * (1 + 1e-9)


def test_er_of_fully_connected_layers_is_erk():
    made = [layer_of("a", (30, 50)), layer_of("b", (10, 30))]
    assert Er()(made, 300) == Erk()(made, 300)


def test_er_of_a_convolution_is_that_of_its_channels():
    made = [layer_of("three", (20, 20, 3, 3)), layer_of("one", (20, 20, 1, 1))]
    assert Er()(made, 200) == {"three": 180, "one": 20}


def test_er_of_groups_and_of_packed_projections_is_that_of_one():
    grouped = [layer_of("grouped", (20, 5, 3), groups=4), layer_of("one", (5, 5, 3))]
    assert Er()(grouped, 100) == {"grouped": 80, "one": 20}
    packed = [layer_of("packed", (24, 8), rows=(8, 8, 8)), layer_of("one", (8, 8))]
    assert Er()(packed, 100) == {"packed": 75, "one": 25}


@SETTINGS
@given(layers_and_keep())
def test_balanced_keeps_the_same_number_or_the_whole_layer(case):
    made, keep = case
    counts = Balanced()(made, keep)
    partial = [counts[layer.name] for layer in made if counts[layer.name] < layer.size]
    if partial:
        assert max(partial) - min(partial) <= 1
        assert all(layer.size <= min(partial) + 1 for layer in made if counts[layer.name] == layer.size)


def test_balanced_carries_what_does_not_fit_over_to_all_others():
    made = [layer_of("a", (2, 5)), layer_of("b", (10, 20)), layer_of("c", (10, 30))]
    assert Balanced()(made, 90) == {"a": 10, "b": 40, "c": 40}


@SETTINGS
@given(layers_and_keep())
def test_igq_is_the_formula_at_one_force(case):
    """Each count within one of n / (F n + 1), that is 1 / F within bounds that overlap."""
    made, keep = case
    counts = Igq()(made, keep)
    # 1 / (F + 1 / n) = k, so F = 1 / k - 1 / n
    lowest = max(1 / (counts[la.name] + 1) - 1 / la.size for la in made)
    highest = min((1 / (counts[la.name] - 1) - 1 / la.size for la in made if counts[la.name] > 1), default=float("inf"))
    assert lowest <= highest + 1e-9


def test_igq_by_hand():
    # F = 1 / 100: 100 / 2, 300 / 4, 400 / 5
    made = [layer_of("a", (10, 10)), layer_of("b", (10, 30)), layer_of("c", (20, 20))]
    assert Igq()(made, 205) == {"a": 50, "b": 75, "c": 80}


def test_igq_of_resnet20_tends_to_equal_numbers():
    made = list(Network(models.create("resnet20"), torch.zeros(1, 3, 32, 32)).layers.values())
    counts = Igq()(made, 271)
    assert max(counts.values()) - min(counts.values()) <= 1
    spread = Igq()(made, 135_448)
    assert spread["fc.weight"] / 640 > spread["layer3.2.conv2.weight"] / 36_864 + 0.4


@pytest.mark.parametrize("budget", [Er(), Balanced(), Igq()])
def test_equal_layers_get_equal_numbers(budget):
    made = [layer_of(name, (6, 4, 3)) for name in "abc"]
    assert budget(made, 10) == {"a": 4, "b": 3, "c": 3}
