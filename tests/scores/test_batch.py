"""What a score batch may be made of: any structure of tensors, counted by the samples in it."""

import random
from collections import UserDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nodepath
from brief import brief
from nodepath.errors import ArgumentError, NonFiniteError
from nodepath.scores.batch import Batch

SAMPLES = 12


@dataclass
class Weighed:
    y: Tensor
    w: Tensor


STRUCTURES = {
    "tuple": lambda y, w: (y, w),
    "list": lambda y, w: [y, w],
    "dict": lambda y, w: {"y": y, "w": w},
    "mapping": lambda y, w: UserDict(y=y, w=w),
    "dataclass": Weighed,
    "shared number": lambda y, w: (y, w, torch.tensor(1.0)),
}


def weighed_loss(outputs: Tensor, targets: Any) -> Tensor:
    if isinstance(targets, Weighed):
        targets = (targets.y, targets.w)
    y, w = (targets["y"], targets["w"]) if isinstance(targets, dict | UserDict) else targets[:2]
    return (F.cross_entropy(outputs, y, reduction="none") * w).mean()


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).double()


def data() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(SAMPLES, 8, generator=generator, dtype=torch.float64)
    return inputs, torch.arange(SAMPLES) % 4, 0.2 + torch.rand(SAMPLES, generator=generator, dtype=torch.float64)


def prune(model: nn.Module, name: str, batch: Any, **arguments: Any) -> nodepath.MaskSet:
    wanted: dict[str, Any] = {"sparsity": 0.5, "loss": weighed_loss, **arguments}
    return nodepath.prune(model, torch.zeros(1, 8, dtype=torch.float64), name, batch=batch, **wanted)


@pytest.mark.parametrize("structure", STRUCTURES)
class TestStructuredTargets:
    @pytest.mark.parametrize("name", ["snip", "fisher"])
    def test_in_unequal_parts_score_as_the_whole_does(self, model, structure, name):
        made, (inputs, y, w) = STRUCTURES[structure], data()
        parts = [(inputs[:9], made(y[:9], w[:9])), (inputs[9:], made(y[9:], w[9:]))]
        whole = prune(model, name, [(inputs, made(y, w))])
        assert whole.metadata["protocol"]["samples"] == SAMPLES
        assert prune(model, name, parts) == whole

    def test_are_taken_apart_sample_by_sample(self, model, structure):
        inputs, y, w = data()
        squares = {"0.weight": torch.zeros(16, 8), "2.weight": torch.zeros(4, 16)}
        parameters = dict(model.named_parameters())
        for i in range(SAMPLES):
            value = weighed_loss(model(inputs[i : i + 1]), (y[i : i + 1], w[i : i + 1]))
            slopes = torch.autograd.grad(value, [parameters[name] for name in squares])
            for (name, square), slope in zip(list(squares.items()), slopes, strict=True):
                squares[name] = square + (slope * parameters[name].detach()).square()
        expected = nodepath.prune(model, inputs[:1], scores=squares, sparsity=0.5)
        assert prune(model, "fisher", [(inputs, STRUCTURES[structure](y, w))]) == expected

    def test_are_split_into_steps(self, model, structure):
        inputs, y, w = data()
        made = STRUCTURES[structure]
        assert prune(model, "prospr", [(inputs, made(y, w))], lr=0.01) == prune(
            model, "prospr", [(inputs[i : i + 3], made(y[i : i + 3], w[i : i + 3])) for i in (0, 3, 6, 9)], lr=0.01
        )

    def test_of_a_single_pair_are_read(self, structure):
        inputs, y, w = data()
        batch = Batch.of((inputs, STRUCTURES[structure](y, w)))
        assert (len(batch.parts), batch.samples) == (1, SAMPLES)


def test_a_pair_of_two_pairs_is_read_as_two_parts_and_in_a_list_as_one():
    inputs, y, w = data()
    assert len(Batch.of(((inputs, y), (inputs, y))).parts) == 2
    batch = Batch.of([((inputs, inputs), (y, w))])
    assert (len(batch.parts), batch.samples) == (1, SAMPLES)


def test_targets_of_different_lengths_are_refused():
    inputs, y, w = data()
    with pytest.raises(ArgumentError, match="targets of the batch hold tensors of 5 and 12 samples"):
        Batch.of((inputs, (y, w[:5])))


def test_a_list_of_targets_is_held_against_the_inputs():
    inputs, y, w = data()
    with pytest.raises(ArgumentError, match="12 inputs and 5 targets"):
        Batch.of((inputs, (y[:5], w[:5])))


def test_parts_of_different_structure_cannot_be_split_into_steps(model):
    inputs, y, w = data()
    parts = [(inputs[:6], (y[:6], w[:6])), (inputs[6:], (y[6:], w[6:], w[6:]))]
    with pytest.raises(ArgumentError, match="different numbers of tensors"):
        prune(model, "prospr", parts)


DATA_METHODS = [name for name in nodepath.methods.names() if nodepath.methods.needs_batch(name)]


@pytest.mark.parametrize("name", DATA_METHODS)
class TestRefused:
    def test_a_batch_of_no_samples(self, model, name):
        inputs, y, _ = data()
        with pytest.raises(ArgumentError, match="batch has 0 samples"):
            prune(model, name, (inputs[:0], y[:0]), loss=None)
        with pytest.raises(ArgumentError, match="part 1 of the batch has 0 samples"):
            prune(model, name, [(inputs, y), (inputs[:0], y[:0])], loss=None)

    def test_targets_without_an_axis_of_samples(self, model, name):
        with pytest.raises(ArgumentError, match="targets of the batch have no axis of samples"):
            prune(model, name, (data()[0][:1], torch.tensor(2)), loss=None)

    @pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
    def test_inputs_that_are_no_numbers(self, model, name, value):
        inputs, y, _ = data()
        inputs[3, 2] = value
        with pytest.raises(NonFiniteError, match="inputs of the score batch: 1 of 96 are NaN or infinite"):
            prune(model, name, (inputs, y), loss=None)


def test_a_single_input_without_an_axis_is_refused():
    with pytest.raises(ArgumentError, match="1 inputs and 2 targets"):
        Batch.of((torch.tensor(1.0), torch.tensor([0, 1])))


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.last(torch.softmax(self.first(x) + mask, dim=1))


def test_infinite_entries_of_a_mask_beside_the_inputs_are_allowed():
    inputs, y, _ = data()
    masked = torch.zeros(SAMPLES, 6, dtype=torch.float64)
    masked[:, 0] = -torch.inf
    model, example = Masked().double(), (inputs[:1], torch.zeros(1, 6, dtype=torch.float64))
    pruned = nodepath.prune(model, example, "snip", sparsity=0.5, batch=((inputs, masked), y))
    assert pruned.metadata["protocol"]["samples"] == SAMPLES
    masked[2, 1] = torch.nan
    with pytest.raises(NonFiniteError, match="inputs of the score batch"):
        nodepath.prune(model, example, "snip", sparsity=0.5, batch=((inputs, masked), y))


@pytest.mark.parametrize("name", DATA_METHODS)
def test_no_targets_do_for_a_loss_that_needs_none(model, name):
    def entropy(outputs: Tensor, targets: Any) -> Tensor:
        assert targets is None
        chances = outputs.softmax(1)
        return -(chances * chances.log()).sum(1).mean()

    inputs, options = data()[0], brief(name, 2)
    whole = prune(model, name, (inputs, None), loss=entropy, **options)
    assert whole.metadata["protocol"]["samples"] == SAMPLES
    if name != "prospr":  # its parts are steps
        parts = [(inputs[:9], None), (inputs[9:], None)]
        assert prune(model, name, parts, loss=entropy, **options) == whole


@pytest.mark.parametrize("shuffle", [False, True])
def test_reading_a_loader_leaves_the_global_random_states(model, shuffle):
    class Jittered(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
        def __len__(self) -> int:
            return SAMPLES

        def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
            inputs, y, _ = data()
            return inputs[place] + random.random() + np.random.rand() + torch.rand(()), y[place]

    loader = torch.utils.data.DataLoader(Jittered(), batch_size=5, shuffle=shuffle)
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    assert prune(model, "snip", loader, loss=None).metadata["protocol"]["samples"] == SAMPLES
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), str(np.random.get_state())) == before[1:]
