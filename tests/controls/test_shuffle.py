import json

import numpy as np
import pytest
import torch

import nodepath
from nodepath.controls import shuffle
from nodepath.errors import ArgumentError


@pytest.fixture
def masks() -> nodepath.MaskSet:
    generator = torch.Generator().manual_seed(0)
    one = torch.rand(20, 30, generator=generator) < 0.1
    return nodepath.MaskSet(
        {
            "b.weight": one,
            "a.weight": one,
            "conv.weight": torch.rand(8, 4, 3, 3, generator=generator) < 0.3,
            "empty": torch.zeros(5, 5, dtype=torch.bool),
            "full": torch.ones(5, 5, dtype=torch.bool),
        },
        {"method": "snip", "seed": 4},
    )


def test_keeps_names_order_shapes_and_counts_of_every_layer(masks):
    shuffled = shuffle(masks, seed=3)
    assert list(shuffled) == list(masks)
    assert {n: (v.shape, v.kept) for n, v in shuffled.layers.items()} == {
        n: (v.shape, v.kept) for n, v in masks.layers.items()
    }


def test_moves_the_weights_of_every_layer(masks):
    shuffled = shuffle(masks, seed=3)
    for name in ("a.weight", "b.weight", "conv.weight"):
        assert not torch.equal(shuffled[name], masks[name])


def test_permutes_two_equal_masks_differently(masks):
    shuffled = shuffle(masks, seed=3)
    assert torch.equal(masks["a.weight"], masks["b.weight"])
    assert not torch.equal(shuffled["a.weight"], shuffled["b.weight"])


def test_spreads_the_kept_weights_evenly():
    one = torch.zeros(4, 5, dtype=torch.bool)
    one[:2] = True
    hits = sum(shuffle({"w": one}, seed=seed)["w"].double() for seed in range(400))
    assert hits.min() > 400 * 0.5 - 50  # five standard deviations
    assert hits.max() < 400 * 0.5 + 50


def test_is_fixed_by_its_seed_whatever_the_global_random_state(masks):
    before = torch.get_rng_state()
    first = shuffle(masks, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert shuffle(masks, seed=3) == first
    assert shuffle(masks, seed=4) != first


def test_does_not_depend_on_the_order_of_the_entries(masks):
    turned = nodepath.MaskSet({name: masks[name] for name in reversed(list(masks))})
    assert shuffle(turned, seed=3) == shuffle(masks, seed=3)


def test_leaves_its_input_as_it_was(masks):
    plain = {name: mask.clone() for name, mask in masks.items()}
    before = masks.hash
    shuffle(masks, seed=3)
    shuffle(plain, seed=3)
    assert masks.hash == before
    assert nodepath.MaskSet(plain).hash == before


def test_takes_a_plain_mapping_too(masks):
    assert shuffle(dict(masks), seed=3) == shuffle(masks, seed=3)


def test_metadata_says_where_the_masks_come_from_and_what_was_done(masks):
    metadata = shuffle(masks, seed=3).metadata
    assert metadata == {"method": "snip", "seed": 4, "control": {"shuffle": 3}}
    assert json.loads(json.dumps(metadata)) == metadata
    assert masks.metadata == {"method": "snip", "seed": 4}


def test_default_seed_is_zero(masks):
    assert shuffle(masks) == shuffle(masks, seed=0)


@pytest.mark.parametrize("seed", ["a", 1.5, True, -1, 2**63, 2**64])
def test_a_seed_that_is_none_is_refused(masks, seed):
    with pytest.raises(ArgumentError, match=r"seed is .*; pass a whole number"):
        shuffle(masks, seed=seed)


def test_a_whole_number_of_another_kind_is_a_seed(masks):
    shuffled = shuffle(masks, seed=np.int64(3))
    assert shuffled == shuffle(masks, seed=3)
    assert json.loads(json.dumps(shuffled.metadata["control"])) == {"shuffle": 3}
