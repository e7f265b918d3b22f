"""What a score batch may be made of: any structure of tensors, counted by the samples in it."""

from collections import UserDict
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError
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
