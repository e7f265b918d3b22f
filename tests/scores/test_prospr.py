"""ProsPr: the meta-gradient through a few steps of training, against autograd through all of them at once."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from smooth_net import NAMES, SmoothNet, about, data, flat, outputs
from torch import Tensor

import nodepath
from nodepath.errors import ArgumentError, NonFiniteError
from nodepath.scores.prospr import ProsPr


def unrolled(
    model: SmoothNet, parts: list[tuple[Tensor, Tensor]], mode: str, lr: float, momentum: float
) -> tuple[Tensor, Tensor]:
    """|dL/dc|, and |theta * dL/dw| after the steps, by one graph."""
    parameters = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    gates = {name: torch.ones_like(parameters[name]).requires_grad_() for name in NAMES}
    for name, value in parameters.items():
        value.requires_grad_(name not in NAMES)
    at = {name: value * gates[name] if name in gates else value for name, value in parameters.items()}
    buffers: dict[str, Tensor] = {}
    for x, targets in parts[:-1]:
        loss = F.cross_entropy(outputs(model, at, x, mode), targets)
        found = torch.autograd.grad(loss, list(at.values()), create_graph=True, allow_unused=True)
        slopes = {n: torch.zeros_like(at[n]) if s is None else s for n, s in zip(at, found, strict=True)}
        buffers = {n: momentum * buffers[n] + s if buffers else s for n, s in slopes.items()}
        at = {name: value - lr * buffers[name] for name, value in at.items()}
    x, targets = parts[-1]
    last = F.cross_entropy(outputs(model, at, x, mode), targets)
    full = torch.autograd.grad(last, list(gates.values()), retain_graph=True)
    end = torch.autograd.grad(last, [at[name] for name in NAMES])
    first_order = [(parameters[name] * slope).abs() for name, slope in zip(NAMES, end, strict=True)]
    return torch.cat([g.abs().flatten() for g in full]), torch.cat([g.flatten() for g in first_order]).detach()


def batches(number: int) -> list[tuple[Tensor, Tensor]]:
    return [data(6, seed=20 + i) for i in range(number)]


@pytest.mark.parametrize("mode", ["train-batch", "eval-identity", "frozen"])
@pytest.mark.parametrize("options", [{}, {"inner_steps": 1}, {"inner_steps": 4, "momentum": 0.0, "lr": 0.1}])
def test_is_the_meta_gradient_of_the_unrolled_steps(mode, options):
    method = ProsPr(**options)
    parts = batches(method.inner_steps + 1)
    model = SmoothNet()
    subject = about(model, parts, bn=mode)
    expected, _ = unrolled(model, parts, mode, method.lr, method.momentum)
    found = flat(method(subject, subject.network.weights()))
    assert torch.allclose(found, expected, rtol=1e-7, atol=1e-10 * float(expected.max()))


def test_first_order_leaves_the_way_there_out():
    parts, model = batches(4), SmoothNet()
    subject = about(model, parts, bn="train-batch")
    full, first = unrolled(model, parts, "train-batch", 0.5, 0.9)
    found = flat(ProsPr(first_order=True)(subject, subject.network.weights()))
    assert torch.allclose(found, first, rtol=1e-9, atol=1e-14)
    assert not torch.allclose(found, full, rtol=1e-1)


def test_splits_a_single_batch_in_order():
    x, targets = data(11)
    model = SmoothNet()
    borders = [0, 2, 5, 8, 11]
    parts = [(x[a:b], targets[a:b]) for a, b in pairwise(borders)]
    single, apart = about(model, (x, targets), bn="train-batch"), about(model, parts, bn="train-batch")
    one, other = (flat(ProsPr()(each, each.network.weights())) for each in (single, apart))
    assert torch.equal(one, other)


def test_joins_parts_that_are_not_as_many_as_its_steps():
    x, targets = data(12)
    single = about(SmoothNet(), (x, targets), bn="train-batch")
    parts = about(SmoothNet(), [(x[:5], targets[:5]), (x[5:], targets[5:])], bn="train-batch")
    one, other = (flat(ProsPr()(each, each.network.weights())) for each in (single, parts))
    assert torch.equal(one, other)


def test_takes_batch_statistics_by_default():
    masks = nodepath.prune(SmoothNet(), torch.zeros(2, 2, 4, 4), "prospr", sparsity=0.5, batch=data(12))
    assert masks.metadata["protocol"]["bn"] == "train-batch"
    assert masks.metadata["options"] == {"inner_steps": 3, "lr": 0.5, "momentum": 0.9, "first_order": False}


def test_trains_frozen_parameters_like_others_and_leaves_them_as_they_were():
    model = SmoothNet().requires_grad_(requires_grad=False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    subjects = (about(each, data(12), bn="train-batch") for each in (model, SmoothNet()))
    one, other = (flat(ProsPr()(each, each.network.weights())) for each in subjects)
    assert torch.equal(one, other)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_steps_that_diverge_are_an_error_that_names_the_rate():
    subject = about(SmoothNet(), data(12), bn="eval-identity")
    with pytest.raises(NonFiniteError, match=r"after \d steps of training at lr=1e\+308"):
        ProsPr(lr=1e308)(subject, subject.network.weights())


@pytest.mark.parametrize(("bn", "way_out"), [("train-batch", r"a smaller lr$"), ("frozen", "or bn='train-batch'$")])
def test_steps_that_diverge_name_the_ways_out_that_are_left(bn, way_out):
    subject = about(SmoothNet(), data(12), bn=bn)
    with pytest.raises(NonFiniteError, match=way_out):
        ProsPr(lr=1e308)(subject, subject.network.weights())


def test_fewer_samples_than_steps_are_refused():
    subject = about(SmoothNet(), data(3), bn="eval-identity")
    with pytest.raises(ArgumentError, match=r"3 samples.*4 steps"):
        ProsPr()(subject, subject.network.weights())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inner_steps": 0}, "inner_steps is 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"momentum": 1.0}, "momentum is 1.0; prospr needs a number from 0 to below 1"),
        ({"momentum": "much"}, "momentum is 'much'"),
        ({"first_order": 1}, "first_order is 1; choose True or False"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        ProsPr(**options)
