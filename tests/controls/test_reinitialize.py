"""Re-initialised weights: other draws, the same distribution, nothing else."""

import numpy as np
import pytest
import torch
from torch import nn

import nodepath
from nodepath.controls import reinitialize
from nodepath.errors import ArgumentError
from nodepath.paths import Network


def test_weights_are_other_draws_with_the_same_spread():
    model = nodepath.models.create("resnet20", seed=0)
    drawn = reinitialize(model, seed=1)
    for name, weight in model.state_dict().items():
        other = drawn.state_dict()[name]
        if weight.ndim > 1:
            assert not torch.equal(weight, other)
            assert abs(float(other.std() / weight.std()) - 1) < 6 / (2 * weight.numel()) ** 0.5
            assert abs(float(torch.corrcoef(torch.stack([weight.flatten(), other.flatten()]))[0, 1])) < 0.25
        else:
            assert torch.equal(weight, other)


def test_the_model_and_the_global_random_state_are_left_alone():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    reinitialize(model, seed=3)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_the_seed_decides():
    model = nn.Linear(5, 5)
    first, again, other = (reinitialize(model, seed=s).weight for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_shared_weight_stays_shared():
    layer = nn.Linear(4, 4)
    drawn = reinitialize(nn.Sequential(layer, nn.ReLU(), layer))
    assert drawn[0].weight is drawn[2].weight


@pytest.mark.parametrize("dims", [{}, {"kdim": 60, "vdim": 100}], ids=["stacked", "apart"])
def test_each_in_projection_of_attention_is_drawn_with_its_own_spread(dims):
    model = nn.MultiheadAttention(80, 2, **dims)
    with torch.no_grad():
        for weight, spread in zip(in_projections(model), (0.1, 1.0, 5.0), strict=True):
            weight.normal_(3 * spread, spread)
    drawn = reinitialize(model, seed=1)
    for weight, other in zip(in_projections(model), in_projections(drawn), strict=True):
        tolerance = 6 / weight.numel() ** 0.5
        assert abs(float(other.std() / weight.std()) - 1) < tolerance
        assert abs(float((other.mean() - weight.mean()) / weight.std())) < tolerance
        assert abs(float(torch.corrcoef(torch.stack([weight.flatten(), other.flatten()]))[0, 1])) < tolerance
    assert torch.equal(model.in_proj_bias, drawn.in_proj_bias)


def test_every_prunable_weight_is_drawn():
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    drawn = reinitialize(layer, seed=1)
    names = Network(layer, torch.zeros(1, 3, 8)).layers
    assert "self_attn.in_proj_weight" in names
    assert not any(torch.equal(layer.get_parameter(name), drawn.get_parameter(name)) for name in names)


def in_projections(attention):
    if attention.in_proj_weight is not None:
        return attention.in_proj_weight.detach().chunk(3)
    weights = attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize("seed", ["a", 1.5, True, -1, 2**63, 2**64])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(ArgumentError, match=r"seed is .*; pass a whole number"):
        reinitialize(nn.Linear(3, 3), seed=seed)


def test_a_whole_number_of_another_kind_is_a_seed():
    layer = nn.Linear(3, 3)
    assert torch.equal(reinitialize(layer, seed=np.int64(3)).weight, reinitialize(layer, seed=3).weight)
