"""Hutchinson: the diagonal of the Hessian from random signs, against the whole Hessian."""

import pytest
import torch
from smooth_net import NAMES, SmoothNet, about, data, flat, generator, hessian_by_hand

from nodepath.errors import ArgumentError
from nodepath.scores.hutchinson import Hutchinson


@pytest.mark.parametrize("probes", [1, 10])
def test_is_half_the_squared_weight_times_the_estimate_of_its_probes(probes):
    model, batch = SmoothNet(), data()
    subject = about(model, batch, seed=3)
    weights, hessian = subject.network.weights(), hessian_by_hand(model, *batch)
    draw, estimate = generator(3), 0
    for _ in range(probes):
        signs = {n: torch.randint(0, 2, weights[n].shape, generator=draw, dtype=torch.int8) * 2.0 - 1 for n in NAMES}
        z = flat(signs).double()
        estimate = estimate + z * (hessian @ z) / probes
    found = flat(Hutchinson(probes=probes)(subject, weights))
    assert torch.allclose(found, flat(weights) ** 2 * estimate / 2, rtol=1e-8, atol=1e-14)


def test_comes_near_the_diagonal_with_many_probes():
    model, batch = SmoothNet(), data()
    subject = about(model, batch)
    weights, hessian = subject.network.weights(), hessian_by_hand(model, *batch)
    found = flat(Hutchinson(probes=500)(subject, weights)) / (flat(weights) ** 2 / 2)
    spread = ((hessian**2).sum(1) - hessian.diagonal() ** 2).sqrt()  # of one probe
    assert bool(((found - hessian.diagonal()).abs() < 5 * spread / 500**0.5).all())


def test_abs_is_the_size_of_what_signed_gives_and_some_are_negative():
    subjects = [about(SmoothNet(), data()) for _ in range(2)]
    signed, absolute = (
        flat(Hutchinson(mode=mode)(each, each.network.weights()))
        for mode, each in zip(("signed", "abs"), subjects, strict=True)
    )
    assert torch.equal(signed.abs(), absolute)
    assert bool((signed < 0).any())


def test_divides_the_outputs_by_the_temperature():
    model, batch = SmoothNet(), data()
    subject = about(model, batch, seed=3)
    weights, hessian = subject.network.weights(), hessian_by_hand(model, *batch, temperature=5.0)
    draw = generator(3)
    signs = {n: torch.randint(0, 2, weights[n].shape, generator=draw, dtype=torch.int8) * 2.0 - 1 for n in NAMES}
    z = flat(signs).double()
    found = flat(Hutchinson(probes=1, temperature=5.0)(subject, weights))
    assert torch.allclose(found, flat(weights) ** 2 * z * (hessian @ z) / 2, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probes": 0}, r"probes is 0; hutchinson needs a whole number >= 1 \(paper: 10\)"),
        ({"probes": 2.0}, "probes is 2.0"),
        ({"probes": True}, "probes is True"),
        ({"mode": "grasp"}, "mode is 'grasp'; choose one of signed, abs"),
        ({"temperature": -1}, "temperature is -1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        Hutchinson(**options)
