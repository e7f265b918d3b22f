"""Uniform+, ERK+ and smart ratio: what is fixed stays so while it fits, and yields by name where it does not."""

import math
import warnings
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from made_layers import layer_of, layers_and_keep

from nodepath import models
from nodepath.budgets import BUDGETS, Erk, Uniform
from nodepath.budgets.erk_plus import ErkPlus
from nodepath.budgets.smart_ratio import SmartRatio
from nodepath.budgets.uniform_plus import UniformPlus
from nodepath.errors import ArgumentError, BudgetWarning
from nodepath.paths import Network

SETTINGS = settings(deadline=None, max_examples=150, derandomize=True)
SMALL = [layer_of("stem", (4, 3, 3)), layer_of("body", (40, 30)), layer_of("head", (5, 40))]
"""Sizes 36, 1200, 200."""


@pytest.fixture(scope="module")
def resnet20():
    return list(Network(models.create("resnet20"), torch.zeros(1, 3, 32, 32)).layers.values())


# Uniform+


def test_uniform_plus_by_hand():
    # 236 - 36 - 40 are left for the body
    assert UniformPlus()(SMALL, 236) == {"stem": 36, "body": 160, "head": 40}
    # (736 - 36) / 1400 = 0.5 is more than a fifth
    assert UniformPlus()(SMALL, 736) == {"stem": 36, "body": 600, "head": 100}
    # 7 of 33 weights are more than a fifth, 6 are not
    odd = [layer_of("stem", (4, 3, 3)), layer_of("body", (40, 30)), layer_of("head", (3, 11))]
    assert UniformPlus()(odd, 136)["head"] == 7


def test_uniform_plus_tells_first_and_last_by_kind_and_order():
    made = [
        layer_of(name, shape) for name, shape in [("a", (9, 9)), ("b", (8, 8, 1)), ("c", (10, 10)), ("d", (9, 9, 3))]
    ]
    counts = UniformPlus()(made, 100)
    assert (counts["b"], counts["c"]) == (64, 20)
    assert counts["a"] + counts["d"] == 16
    swapped = UniformPlus()([made[2], made[3], made[0], made[1]], 280)
    assert (swapped["d"], swapped["a"]) == (243, 17)  # a is the last linear now


@SETTINGS
@given(layers_and_keep())
def test_uniform_plus_has_one_density_beside_what_is_fixed(case):
    made, keep = case
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counts = UniformPlus()(made, keep)
    if caught:
        assert counts == Uniform()(made, keep)
        return
    convolutions, linears = [la for la in made if not la.linear], [la for la in made if la.linear]
    first = convolutions[:1]
    last = [
        la
        for la in linears[-1:]
        if (keep - sum(x.size for x in first)) * 5 < sum(x.size for x in made if x not in first)
    ]
    assert all(counts[la.name] == la.size for la in first)
    assert all(counts[la.name] == math.ceil(la.size / 5) for la in last)
    others = [la for la in made if la not in first and la not in last]
    left = keep - sum(counts[la.name] for la in [*first, *last])
    total = sum(la.size for la in others)
    assert all(abs(counts[la.name] - left * la.size / total) < 1 + 1e-6 for la in others)
    if linears:
        assert counts[linears[-1].name] >= linears[-1].size / 5 - 1


def test_uniform_plus_of_resnet20_at_99_percent(resnet20):
    counts = UniformPlus()(resnet20, 2709)
    assert (counts["conv1.weight"], counts["fc.weight"]) == (432, 128)
    density = (2709 - 432 - 128) / (270_896 - 432 - 640)
    for layer in resnet20[1:-1]:
        assert abs(counts[layer.name] - density * layer.size) < 1


def test_uniform_plus_yields_to_uniform_and_names_both_parts():
    with pytest.warns(
        BudgetWarning, match=r"uniform-plus: .*'stem' \(36 of its 36.*'head' \(40 of its 200.* 76 weights"
    ):
        counts = UniformPlus()(SMALL, 76)
    assert counts == Uniform()(SMALL, 76)
    assert UniformPlus()(SMALL, 77) == {"stem": 36, "body": 1, "head": 40}  # one is enough, and no warning


# ERK+


def test_erk_plus_by_hand():
    made = [layer_of("middle", (10, 10)), layer_of("large", (40, 40)), layer_of("head", (5, 10))]
    # 100 - 50 in proportion to 10 + 10 and 40 + 40
    assert ErkPlus()(made, 100) == {"middle": 10, "large": 40, "head": 50}


@SETTINGS
@given(layers_and_keep())
def test_erk_plus_is_erk_beside_the_last_fully_connected_layer(case):
    made, keep = case
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counts = ErkPlus()(made, keep)
    linears = [layer for layer in made if layer.linear]
    if caught or not linears:
        assert counts == Erk()(made, keep)
        return
    last = linears[-1]
    assert counts.pop(last.name) == last.size
    assert counts == Erk()([layer for layer in made if layer is not last], keep - last.size)


def test_erk_plus_yields_to_erk_by_name(resnet20):
    with pytest.warns(BudgetWarning, match=r"erk-plus: .*'fc\.weight' \(640 of its 640 weights\)"):
        assert ErkPlus()(resnet20, 271) == Erk()(resnet20, 271)


# smart ratio


def test_smart_ratio_by_hand():
    made = [layer_of(name, shape) for name, shape in [("a", (10, 10, 1)), ("b", (10, 20, 1)), ("c", (10, 10))]]
    # L = 3: 12, 6 times 100, 200; c keeps 30 of 100; 80 left: 40 each
    assert SmartRatio()(made, 110) == {"a": 40, "b": 40, "c": 30}
    # divided by 1 and 4: 1200 to 300
    assert SmartRatio(steep=True)(made, 130) == {"a": 80, "b": 20, "c": 30}
    assert SmartRatio(last=0.5)(made, 130) == {"a": 40, "b": 40, "c": 50}


def test_smart_ratio_carries_over_to_the_next_layers_in_order():
    made = [layer_of(name, (10, size, 1)) for name, size in [("a", 1), ("b", 2), ("c", 100), ("d", 100)]]
    # ratios 20, 12, 6, 2 times 10, 20, 1000, 1000 make 8440: one part is 1 / 20 at 422
    counts = SmartRatio()(made, 422)
    # a: 10, b: 12, c: 300, d: 100: nothing is full but a
    assert counts == {"a": 10, "b": 12, "c": 300, "d": 100}
    # twice that: a wishes 20, b 24, which carry 10 and 14 on to c, and nothing to d
    assert SmartRatio()(made, 844) == {"a": 10, "b": 20, "c": 614, "d": 200}


@SETTINGS
@given(layers_and_keep())
def test_smart_ratio_falls_with_depth_and_fixes_the_last_fully_connected_layer(case):
    made, keep = case
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        counts = SmartRatio()(made, keep)
    linears = [layer for layer in made if layer.linear]
    free = made
    if linears and not caught:
        last = linears[-1]
        assert counts[last.name] == max(1, round(0.3 * last.size))
        free = [layer for layer in made if layer is not last]
    for earlier, later in pairwise(free):
        assert (counts[earlier.name] + 1) / earlier.size >= (counts[later.name] - 1) / later.size


def test_smart_ratio_yields_where_the_others_cannot_hold_the_rest():
    with pytest.warns(BudgetWarning, match=r"smart-ratio: .*'head' \(60 of its 200 weights\) does not go with 1300"):
        counts = SmartRatio()(SMALL, 1300)
    assert (counts["stem"], sum(counts.values())) == (36, 1300)
    with pytest.warns(BudgetWarning, match="'head'"):
        # 12, 6 and 2 times 36, 1200 and 200: of 8032 parts
        assert SmartRatio()(SMALL, 61) == {"stem": 3, "body": 55, "head": 3}


@pytest.mark.parametrize(
    ("option", "value"),
    [("last", 0), ("last", 1.5), ("last", "a lot"), ("last", True), ("last", float("nan")), ("steep", 1)],
)
def test_smart_ratio_refuses_options_that_make_no_sense(option, value):
    with pytest.raises(ArgumentError, match=f"{option} is {value!r}; smart-ratio needs"):
        SmartRatio(**{option: value})


@pytest.mark.parametrize("name", ["uniform-plus", "erk-plus", "smart-ratio"])
def test_no_part_yields_without_need(name, resnet20):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for sparsity in (0.3, 0.5, 0.9, 0.98, 0.99):
            BUDGETS[name]()(resnet20, round((1 - sparsity) * 270_896))


@pytest.mark.parametrize("name", ["uniform-plus", "erk-plus", "smart-ratio"])
def test_a_single_layer_keeps_all_there_is_to_keep(name):
    for layer in (layer_of("c", (4, 3, 3)), layer_of("l", (4, 9))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BudgetWarning)
            assert BUDGETS[name]()([layer], 5) == {layer.name: 5}
