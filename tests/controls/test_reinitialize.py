"""Re-initialised weights: other draws, the same distribution, nothing else."""

import torch
from torch import nn

import nodepath
from nodepath.controls import reinitialize


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
