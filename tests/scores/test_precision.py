"""Models in half precision are scored in float32, from the numbers that they hold, and outside of autocast."""

import copy

import pytest
import torch
from torch import Tensor, nn

import nodepath
from brief import brief
from nodepath.methods import needs_batch
from nodepath.paths import Network
from nodepath.scores import SCORES, Batch, Subject

HALVES = (torch.bfloat16, torch.float16)
WITH_DATA = [name for name in nodepath.methods.names() if needs_batch(name)]
SCORED = [name for name in SCORES.names() if SCORES[name].needs_batch]


def model_in(dtype: torch.dtype, wide: torch.dtype | None = None) -> nn.Module:
    """With a norm that has seen something, and its numbers rounded to `dtype`; held in `wide`, if given."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(72, 5)),
        )
        nn.init.normal_(model[1].running_mean)
        nn.init.uniform_(model[1].running_var, 0.5, 1.5)
    return model.eval().to(dtype).to(wide or dtype)


def batch_in(dtype: torch.dtype, wide: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(20, 3, 8, 8, generator=generator).to(dtype).to(wide or dtype), torch.arange(20) % 5


def pruned(name: str, model: nn.Module, batch: object, **arguments: object) -> nodepath.MaskSet:
    x = torch.zeros(1, 3, 8, 8)
    return nodepath.prune(
        *(model, x, name), sparsity=0.8, batch=batch, on_collapse="warn", **{**brief(name, 5), **arguments}
    )


@pytest.mark.parametrize("bn", ["eval-identity", "frozen", "warmed-up"])
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", SCORED)
def test_scores_are_those_of_the_same_numbers_in_float32(name, dtype, bn):
    found = []
    for wide in (None, torch.float32):
        network = Network(model_in(dtype, wide), torch.zeros(1, 3, 8, 8))
        subject = Subject(network, torch.Generator().manual_seed(2), Batch.of(batch_in(dtype, wide)), bn)
        found.append(SCORES[name]()(subject, network.weights()))
    half, single = found
    assert all(half[weight].dtype == torch.float32 and torch.equal(half[weight], single[weight]) for weight in single)


@pytest.mark.filterwarnings("ignore::nodepath.errors.CollapseWarning")
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", WITH_DATA)
def test_masks_are_those_of_the_same_numbers_in_float32(name, dtype):
    half = pruned(name, model_in(dtype), batch_in(dtype))
    assert half == pruned(name, model_in(dtype, torch.float32), batch_in(dtype, torch.float32))
    assert half.metadata["protocol"]["dtype"] == "float32"


@pytest.mark.filterwarnings("ignore::nodepath.errors.CollapseWarning")
@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", [name for name in WITH_DATA if name != "prospr"])  # which takes parts for its steps
def test_a_batch_in_parts_gives_the_mask_of_the_whole(name, dtype):
    inputs, targets = batch_in(dtype)
    parts = [(inputs[i : i + 4], targets[i : i + 4]) for i in range(0, len(inputs), 4)]
    assert pruned(name, model_in(dtype), parts) == pruned(name, model_in(dtype), (inputs, targets))


@pytest.mark.filterwarnings("ignore::nodepath.errors.CollapseWarning")
@pytest.mark.parametrize("name", WITH_DATA)
def test_a_model_in_float64_is_scored_in_float64_and_one_in_half_precision_stays_so(name):
    double, half = model_in(torch.float64), model_in(torch.bfloat16)
    before = copy.deepcopy(half.state_dict())
    assert pruned(name, double, batch_in(torch.float64)).metadata["protocol"]["dtype"] == "float64"
    pruned(name, half, batch_in(torch.bfloat16))
    assert all(tensor.dtype == before[key].dtype for key, tensor in half.state_dict().items())
    assert all(torch.equal(before[key], tensor) for key, tensor in half.state_dict().items())


@pytest.mark.parametrize("kind", HALVES)
@pytest.mark.parametrize("name", SCORED)
def test_autocast_does_not_reach_a_score(name, kind):
    model, batch = model_in(torch.float32), batch_in(torch.float32)
    network, found = Network(model, torch.zeros(1, 3, 8, 8)), []
    for enabled in (True, False):
        subject = Subject(network, torch.Generator().manual_seed(2), Batch.of(batch))
        with torch.autocast("cpu", kind, enabled=enabled):
            found.append(SCORES[name]()(subject, network.weights()))
            assert torch.is_autocast_enabled("cpu") is enabled
    inside, outside = found
    assert all(torch.equal(inside[weight], outside[weight]) for weight in outside)


@pytest.mark.filterwarnings("ignore::nodepath.errors.CollapseWarning", "ignore::nodepath.errors.BudgetWarning")
@pytest.mark.parametrize("name", nodepath.methods.names())
def test_autocast_does_not_change_a_mask(name):
    batch = batch_in(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = pruned(name, model_in(torch.float32), batch)
    assert inside == pruned(name, model_in(torch.float32), batch)
