"""Fisher: mean over samples of the squared slope of each sample's own loss, against a plain loop by hand."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from smooth_net import SmoothNet, about, data, flat, generator, loss_by_hand, outputs, unflat
from torch import Tensor

import nodepath
from nodepath.errors import ArgumentError, InputMismatchError, NonFiniteError
from nodepath.paths import Network
from nodepath.scores import Batch, Subject, per_sample
from nodepath.scores.fisher import Fisher

MODES = ["eval-identity", "frozen", "warmed-up"]


def by_hand(model: SmoothNet, x: Tensor, targets: Tensor, mode: str) -> Tensor:
    weights = flat(dict(model.named_parameters())).detach()
    total = torch.zeros_like(weights)
    for sample in range(len(x)):
        one = slice(sample, sample + 1)

        def loss(vector: Tensor, one: slice = one) -> Tensor:
            return F.cross_entropy(outputs(model, unflat(model, vector), x[one], mode, statistics_of=x), targets[one])

        total += (torch.autograd.functional.jacobian(loss, weights) * weights) ** 2
    return total / len(x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("together", [1 << 25, 300, 1])
def test_is_the_mean_square_of_the_slopes_of_single_samples(mode, together, monkeypatch):
    """All samples at a time, two at a time, one by one."""
    monkeypatch.setattr(per_sample, "_AT_ONCE", together)
    model, batch = SmoothNet(), data(7)
    subject = about(model, batch, bn=mode)
    found = flat(Fisher()(subject, subject.network.weights()))
    assert torch.allclose(found, by_hand(model, *batch, mode), rtol=1e-8, atol=1e-15)


def test_is_not_the_square_of_the_slope_of_the_whole_batch():
    model, batch = SmoothNet(), data()
    subject = about(model, batch)
    weights = flat(subject.network.weights())
    whole = (weights * torch.autograd.functional.jacobian(loss_by_hand(model, *batch), weights)) ** 2
    found = flat(Fisher()(subject, subject.network.weights()))
    assert bool((found >= whole - 1e-15).all())  # the mean of squares is at least the square of the mean
    assert not torch.allclose(found, whole, rtol=1e-2)


def test_of_a_batch_in_unequal_parts_is_that_of_the_whole():
    (x, targets), model = data(7), SmoothNet()
    whole, parts = about(model, (x, targets)), about(model, [(x[:2], targets[:2]), (x[2:], targets[2:])])
    one, other = (flat(Fisher()(each, each.network.weights())) for each in (whole, parts))
    assert torch.allclose(one, other, rtol=1e-9)


def looks_at_values(logits: Tensor, targets: Tensor) -> Tensor:
    """No map over samples can go through `if`."""
    value = F.cross_entropy(logits, targets)
    return value * 2 if bool(value > -1) else value


def test_of_a_loss_that_looks_at_values_is_taken_one_sample_after_the_other():
    (x, targets), model = data(5), SmoothNet()
    subject = Subject(Network(model, x), generator(), Batch.of((x, targets), looks_at_values))
    found = flat(Fisher()(subject, subject.network.weights()))
    assert torch.allclose(found, 4 * by_hand(model, x, targets, "eval-identity"), rtol=1e-8, atol=1e-15)


def test_batch_statistics_are_refused_since_samples_would_not_be_alone():
    subject = about(SmoothNet(), data(), bn="train-batch")
    with pytest.raises(ArgumentError, match=r"'train-batch'.*bn='warmed-up'"):
        Fisher()(subject, subject.network.weights())


def test_statistics_of_parts_are_refused():
    x, targets = data()
    subject = about(SmoothNet(), [(x[:2], targets[:2]), (x[2:], targets[2:])], bn="warmed-up")
    with pytest.raises(ArgumentError, match="2 parts"):
        Fisher()(subject, subject.network.weights())


def test_labels_without_an_output_are_refused():
    x, targets = data()
    subject = about(SmoothNet(), (x, targets + 1))
    with pytest.raises(InputMismatchError, match="label 3, and the model 3 outputs"):
        Fisher()(subject, subject.network.weights())


def test_a_sample_whose_loss_is_no_number_is_refused():
    x, targets = data()
    x[4] = torch.nan
    subject = about(SmoothNet(), (x, targets))
    with pytest.raises(NonFiniteError, match="loss"):
        Fisher()(subject, subject.network.weights())


def test_attention_is_mapped_over_in_silence():
    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.head = torch.nn.MultiheadAttention(8, 2, batch_first=True), torch.nn.Linear(8, 3)

        def forward(self, tokens):
            return self.head(self.mix(tokens, tokens, tokens, need_weights=False)[0].mean(1))

    tokens = torch.randn(4, 5, 8, generator=generator(0))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        nodepath.prune(Attention(), tokens[:1], "fisher", sparsity=0.5, batch=(tokens, torch.arange(4) % 3))
    assert heard == []
