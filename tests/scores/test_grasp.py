"""GraSP: the slope of half the squared norm of the gradient in each gate."""

import pytest
import torch
from smooth_net import NAMES, SmoothNet, about, data, flat, hessian_by_hand, loss_by_hand

import nodepath
from nodepath.errors import ArgumentError
from nodepath.scores.grasp import Grasp


def half_square(loss, weights):
    weights = weights.detach().requires_grad_()
    return (torch.autograd.grad(loss(weights), weights)[0] ** 2).sum().item() / 2


@pytest.mark.parametrize("mode", ["eval-identity", "frozen", "train-batch"])
@pytest.mark.parametrize("temperature", [200.0, 1.0])
def test_is_the_slope_of_half_the_squared_gradient_in_each_gate(mode, temperature):
    model, batch = SmoothNet(), data()
    subject = about(model, batch, bn=mode)
    weights = flat(subject.network.weights())
    loss = loss_by_hand(model, *batch, mode, temperature)
    expected = torch.empty_like(weights)
    for j in range(len(weights)):
        gate = torch.ones_like(weights)
        sides = []
        for step in (1e-4, -1e-4):
            gate[j] = 1 + step
            sides.append(half_square(loss, weights * gate))
        expected[j] = (sides[0] - sides[1]) / 2e-4
    found = flat(Grasp(temperature=temperature)(subject, subject.network.weights()))
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


def test_keeps_the_weights_whose_removal_would_shrink_the_gradient():
    """To first order, removing weight j changes half the squared norm by -theta_j (Hg)_j: the kept have the largest."""
    model, batch = SmoothNet(), data()
    weights = flat(dict(model.named_parameters())).detach()
    loss = loss_by_hand(model, *batch, temperature=200.0)
    slope = torch.autograd.functional.jacobian(loss, weights)
    shrinks = weights * (hessian_by_hand(model, *batch, temperature=200.0) @ slope)
    masks = nodepath.prune(model, torch.zeros(2, 2, 4, 4), "grasp", sparsity=0.5, batch=batch, on_collapse="warn")
    kept = flat(masks)
    assert shrinks[kept].min() > shrinks[~kept].max()
    assert shrinks[~kept].min() < 0  # and so are the signs told apart: "abs" would keep these


def test_abs_keeps_the_largest_of_either_sign():
    model, batch = SmoothNet(), data()
    x = torch.zeros(2, 2, 4, 4)
    subject = about(model, batch)
    scores = flat(Grasp()(subject, subject.network.weights()))
    kept = flat(nodepath.prune(model, x, "grasp", mode="abs", sparsity=0.5, batch=batch, on_collapse="warn"))
    assert scores.abs()[kept].min() > scores.abs()[~kept].max()
    assert kept.tolist() != flat(nodepath.prune(model, x, "grasp", sparsity=0.5, batch=batch)).tolist()


def test_takes_the_gradient_over_all_parts_before_the_second_pass():
    (x, targets), model = data(), SmoothNet()
    whole = about(model, (x, targets))
    parts = about(model, [(x[:4], targets[:4]), (x[4:], targets[4:])])
    one, other = (flat(Grasp()(each, each.network.weights())) for each in (whole, parts))
    assert torch.allclose(one, other, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, r"temperature is 0; grasp needs a finite number above 0 \(paper: 200\)"),
        ({"temperature": float("inf")}, "temperature is inf"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"mode": "square"}, "mode is 'square'; choose one of grasp, abs"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        Grasp(**options)


def test_scores_every_prunable_weight_of_a_model_with_frozen_parameters_alike():
    free, frozen = SmoothNet(), SmoothNet().requires_grad_(requires_grad=False)
    one, other = (Grasp()(each, each.network.weights()) for each in (about(free, data()), about(frozen, data())))
    assert set(one) == set(NAMES)
    assert torch.equal(flat(one), flat(other))
