"""What can be wrong with a score batch, for every method that needs one: an error that says so, the model untouched."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nodepath
from brief import brief
from nodepath.errors import ArgumentError, InputMismatchError, NonFiniteError, ScoreBatchWarning

NAMES = [name for name in nodepath.methods.names() if nodepath.methods.needs_batch(name)]


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            *(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32, 4)),
        )


def data(samples: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(samples, 2, 6, 6, generator=generator), torch.arange(samples) % 4


def prune(model: nn.Module, name: str, batch: Any, **arguments: Any) -> nodepath.MaskSet:
    return nodepath.prune(
        model, torch.zeros(1, 2, 6, 6), name, sparsity=0.5, batch=batch, **brief(name, 2), **arguments
    )


def refused(model: nn.Module, name: str, batch: Any, error: type[Exception], message: str, **arguments: Any) -> None:
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=message):
        prune(model, name, batch, **arguments)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training


WITH_A_LOSS = [name for name in NAMES if name != "px"]


@pytest.mark.parametrize("name", WITH_A_LOSS)
@pytest.mark.parametrize("label", [4, 1000, -1])
def test_a_label_out_of_range_is_refused_with_the_range(model, name, label):
    inputs, targets = data()
    targets[1] = label
    refused(model, name, (inputs, targets), InputMismatchError, rf"label {label}, .* 4 outputs, for labels 0 .. 3")


@pytest.mark.parametrize("name", WITH_A_LOSS)
def test_a_loss_that_is_no_number_is_refused(model, name):
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sum() * torch.nan

    refused(model, name, data(), NonFiniteError, "nan", loss=loss)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loss", ["ce", "", 3])
def test_a_loss_that_is_no_function_is_refused_as_such(model, name, loss):
    refused(model, name, data(), ArgumentError, rf"^loss is {loss!r}; pass a function", loss=loss)


@pytest.mark.parametrize("name", NAMES)
class TestBatch:
    @pytest.mark.parametrize("place", [0, 1])
    def test_on_another_device_is_refused_with_both_devices(self, model, name, place):
        batch = list(data())
        batch[place] = batch[place].to("meta")
        refused(model, name, tuple(batch), InputMismatchError, r"device 'meta', and the model is on 'cpu'; move one")

    @pytest.mark.parametrize("bn", ["train-batch", "warmed-up"])
    def test_in_parts_is_refused_where_batchnorm_would_tell_them_apart(self, model, name, bn):
        inputs, targets = data()
        parts = [(inputs[:4], targets[:4]), (inputs[4:], targets[4:])]
        if name == "prospr":  # its parts are steps
            assert prune(model, name, parts, bn=bn).kept > 0
        else:
            message = r"takes each sample alone|2 parts, and with bn='.*' BatchNorm"
            refused(model, name, parts, ArgumentError, message, bn=bn)

    @pytest.mark.parametrize("bn", ["eval-identity", "frozen"])
    def test_in_parts_gives_the_same_mask_as_the_whole(self, model, name, bn):
        inputs, targets = data()
        model, inputs = model.double(), inputs.double()
        parts = [(inputs[:1], targets[:1]), (inputs[1:6], targets[1:6]), (inputs[6:], targets[6:])]
        options = {"lr": 0.01} if name == "prospr" else {}
        whole = prune(model, name, (inputs, targets), bn=bn, **options)
        assert prune(model, name, parts, bn=bn, **options) == whole

    def test_of_a_single_class_is_used_with_a_warning_that_names_it(self, model, name):
        inputs, _ = data()
        with pytest.warns(ScoreBatchWarning, match="all 8 samples of the score batch have label 2"):
            masks = prune(model, name, (inputs, torch.full((8,), 2)), on_collapse="warn")
        assert masks.kept == round(0.5 * masks.total)


def test_a_single_sample_or_targets_that_are_no_labels_are_no_reason_to_warn(model):
    inputs, targets = data(1)
    assert prune(model, "snip", (inputs, targets)).kept > 0
    loss = nn.functional.mse_loss
    assert prune(model, "snip", (data()[0], torch.ones(8, 4)), loss=loss).kept > 0


def test_batch_statistics_are_refused_by_a_method_of_single_samples(model):
    refused(model, "fisher", data(), ArgumentError, "takes each sample alone", bn="train-batch")
