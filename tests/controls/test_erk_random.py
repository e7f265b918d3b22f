"""ERK-random: the same total, nothing else of the mask."""

import json

import pytest
import torch
from torch import nn

import nodepath
from nodepath.budgets import Erk
from nodepath.controls import erk_random, shuffle
from nodepath.errors import ArgumentError, MaskMismatchError
from nodepath.paths import Network

X = torch.zeros(1, 3, 6, 6)


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            *(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
        )


@pytest.fixture
def masks(model) -> nodepath.MaskSet:
    return nodepath.prune(model, X, "magnitude", sparsity=0.71)


def counts(masks) -> dict[str, int]:
    return {name: int(mask.sum()) for name, mask in masks.items()}


def test_keeps_the_total_at_the_layer_counts_of_erk(model, masks):
    drawn = erk_random(model, X, masks, seed=3)
    assert drawn.kept == masks.kept
    assert counts(drawn) == Erk()(list(Network(model, X).layers.values()), masks.kept)
    assert counts(drawn) != counts(masks)
    assert counts(shuffle(masks, seed=3)) == counts(masks)


def test_is_the_mask_of_method_erk(model, masks):
    assert erk_random(model, X, masks, seed=3) == nodepath.prune(model, X, "erk", sparsity=0.71, seed=3)


def test_leaves_out_what_the_masks_leave_out(model):
    masks = nodepath.prune(model, X, "magnitude", sparsity=0.6, exclude="6.*")
    drawn = erk_random(model, X, masks)
    assert list(drawn) == ["0.weight", "2.weight"]
    assert drawn == nodepath.prune(model, X, "erk", sparsity=0.6, exclude="6.*")


def test_is_fixed_by_its_seed_whatever_the_global_random_state(model, masks):
    before = torch.get_rng_state()
    first = erk_random(model, X, masks, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert erk_random(model, X, masks, seed=3) == first
    assert erk_random(model, X, masks, seed=4) != first


@pytest.mark.parametrize("value", [False, True])
def test_takes_plain_masks_that_keep_nothing_or_all(model, value):
    plain = {f"{n}.weight": torch.full_like(model[n].weight, value, dtype=torch.bool) for n in (6, 0, 2)}
    drawn = erk_random(model, X, plain)
    assert list(drawn) == ["6.weight", "0.weight", "2.weight"]
    assert drawn == nodepath.MaskSet(plain)


def test_metadata_says_where_the_masks_come_from_and_what_was_done(model, masks):
    metadata = erk_random(model, X, masks, seed=3).metadata
    assert metadata == {**masks.metadata, "control": {"erk": 3}}
    assert json.loads(json.dumps(metadata)) == metadata


def test_masks_of_another_model_are_refused(model, masks):
    with pytest.raises(MaskMismatchError, match=r"'6\.weigth'.*did you mean '6\.weight'"):
        erk_random(model, X, {"6.weigth": masks["6.weight"]})
    with pytest.raises(MaskMismatchError, match=r"'6\.weight' has shape \(3,\)"):
        erk_random(model, X, {"6.weight": torch.ones(3, dtype=torch.bool)})


def test_a_seed_that_is_none_is_refused(model, masks):
    with pytest.raises(ArgumentError, match="seed"):
        erk_random(model, X, masks, seed=-1)
