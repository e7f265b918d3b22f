"""BatchNorm without running statistics, which takes those of its batch in eval mode too."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError
from nodepath.methods import needs_batch
from nodepath.paths import Network
from nodepath.scores import SCORES, Batch, Subject

WITH_DATA = [name for name in nodepath.methods.names() if needs_batch(name)]
SCORED = [name for name in SCORES.names() if SCORES[name].needs_batch]
BRIEF = {"force": {"iterations": 5}, "snip-iterative": {"iterations": 5}, "px": {"iterations": 5}}
MODES = ("eval-identity", "train-batch", "warmed-up")


def model(tracked: bool) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = nn.Sequential(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6, track_running_stats=tracked), nn.ReLU()),
            *(nn.Conv2d(6, 8, 3, stride=2), nn.BatchNorm2d(8, track_running_stats=tracked), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(72, 5)),
        )
        for norm in (made[1], made[4]):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
    return made.double().eval()


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(20, 3, 8, 8, generator=generator, dtype=torch.float64), torch.arange(20) % 5


def in_parts() -> list[tuple[Tensor, Tensor]]:
    inputs, targets = batch()
    return [(inputs[:6], targets[:6]), (inputs[6:], targets[6:])]


def pruned(name: str, of: nn.Module, data: object, bn: str | None) -> nodepath.MaskSet:
    return nodepath.prune(
        *(of, torch.zeros(1, 3, 8, 8), name), sparsity=0.5, batch=data, bn=bn, on_collapse="warn", **BRIEF.get(name, {})
    )


def scores(name: str, of: nn.Module, bn: str) -> dict[str, Tensor]:
    network = Network(of, torch.zeros(1, 3, 8, 8))
    subject = Subject(network, torch.Generator().manual_seed(2), Batch.of(batch()), bn)  # type: ignore[arg-type]
    return SCORES[name]()(subject, network.weights())


@pytest.mark.parametrize(("name", "bn"), [each for each in itertools.product(SCORED, MODES) if each[0] != "fisher"])
def test_are_scored_as_those_with_running_statistics(name, bn):
    untracked, tracked = (scores(name, model(kind), bn) for kind in (False, True))
    assert all(torch.allclose(untracked[weight], tracked[weight], rtol=1e-12) for weight in tracked)


@pytest.mark.parametrize("bn", ["eval-identity", "warmed-up"])
def test_are_scored_by_single_samples_as_those_with_running_statistics(bn):
    untracked, tracked = (scores("fisher", model(kind), bn) for kind in (False, True))
    assert all(torch.allclose(untracked[weight], tracked[weight], rtol=1e-12) for weight in tracked)


@pytest.mark.parametrize("name", [name for name in WITH_DATA if name != "prospr"])  # which takes parts for its steps
def test_a_batch_in_parts_gives_the_mask_of_the_whole_if_they_are_the_identity(name):
    whole = pruned(name, model(tracked=False), batch(), "eval-identity")
    assert pruned(name, model(tracked=False), in_parts(), "eval-identity") == whole


@pytest.mark.parametrize("bn", ["train-batch", "warmed-up"])
def test_a_batch_in_parts_is_refused_if_they_take_its_statistics(bn):
    with pytest.raises(ArgumentError, match="2 parts"):
        pruned("snip", model(tracked=False), in_parts(), bn)


@pytest.mark.parametrize("name", WITH_DATA)
def test_cannot_be_frozen(name):
    with pytest.raises(ArgumentError, match=r"BatchNorm '1' has no running statistics.*pass bn='train-batch'"):
        pruned(name, model(tracked=False), batch(), "frozen")


@pytest.mark.parametrize("bn", MODES)
@pytest.mark.parametrize("name", ["snip", "hutchinson", "px", "ntk-sap"])
def test_are_left_without_statistics(name, bn):
    of = model(tracked=False)
    state, options = copy.deepcopy(of.state_dict()), [vars(norm).copy() for norm in (of[1], of[4])]
    pruned(name, of, batch(), bn)
    assert [name for name, _ in of.named_buffers()] == []
    assert all(norm.running_mean is None and norm.running_var is None for norm in (of[1], of[4]))
    assert [vars(norm) for norm in (of[1], of[4])] == options
    assert all(torch.equal(state[key], tensor) for key, tensor in of.state_dict().items())


def test_ntk_sap_runs_both_copies_with_the_statistics_of_the_first():
    untracked, tracked = (pruned("ntk-sap", model(kind), None, None) for kind in (False, True))
    assert untracked == tracked
