"""Weights that lie between the same two channels, as one edge: the masks and ranks of weights that are edges each."""

import pytest
import torch
from problems import problem_of
from torch import Tensor, nn

import nodepath
from nodepath.methods.flow import parallel
from nodepath.methods.flow.by_flow import by_flow
from nodepath.methods.flow.parallel import Parallel
from nodepath.methods.problem import Choice
from nodepath.paths.replay.course import course
from nodepath.paths.replay.parallel import parallel_layers
from nodepath.paths.replay.recording import record
from nodepath.paths.semantics import FLOW


def conv(inputs: int, outputs: int, **options: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, **options)


class Twice(nn.Module):
    """One layer, applied twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again, self.head = conv(2, 6), conv(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.again(self.stem(x))) + self.stem(x)
        return self.head(x.mean((2, 3)))


class Compensated(nn.Module):
    """Two layers, the first of a large scale, beside a skip of the same."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first, self.second, self.head = conv(2, 6), conv(6, 6), conv(6, 6), nn.Linear(6, 3)
        with torch.no_grad():
            self.first.weight.mul_(2.0**40)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((2.0**40 * x + self.second(self.first(x))).mean((2, 3)))


def head() -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)


NETWORKS = {
    "layers": lambda: nn.Sequential(conv(2, 6), nn.ReLU(), conv(6, 8), *head()),
    "grouped": lambda: nn.Sequential(
        conv(2, 8), conv(8, 8, groups=2), nn.BatchNorm2d(8), conv(8, 8, groups=8), *head()
    ),
    "transposed": lambda: nn.Sequential(conv(2, 6), nn.ConvTranspose2d(6, 8, 3, 2, groups=2), *head()),
    "twice": Twice,
    "compensated": Compensated,
}


def network(kind: str, scale: float = 1.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NETWORKS[kind]()
    last = [p for p in model.parameters() if p.ndim > 1][-2]
    with torch.no_grad():
        for weight in (p for p in model.parameters() if p.ndim > 1):
            weight.mul_(torch.rand(weight.shape, generator=torch.Generator().manual_seed(1)) < 0.8)
        last.mul_(scale)  # one layer alone: its exponent is its own
        next(model.parameters())[0, 0] = 0.5  # ties
    return model


def chosen(model: nn.Module, density: float, scope: str | None, at_random: tuple[int, ...] = ()) -> Choice:
    return by_flow(problem_of(model, torch.zeros(1, 2, 8, 8), density, "channel", scope), 12, at_random)


@pytest.fixture
def one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_MOST", 0)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("scope", [None, "layerwise"])
@pytest.mark.parametrize(("density", "at_random"), [(0.02, ()), (0.1, (0, 2)), (0.3, ()), (0.9, ())])
@pytest.mark.parametrize("scale", [1.0, 2.0**40, 2.0**-60])
def test_masks_and_ranks_are_the_same(kind, scope, density, at_random, scale, request):
    model = network(kind, scale)
    problem = problem_of(model, torch.zeros(1, 2, 8, 8), density, "channel")
    assert Parallel.pays(problem, course(record(problem.network, FLOW), problem.network.layers))
    found = chosen(model, density, scope, at_random)
    request.getfixturevalue("one_each")
    expected = chosen(model, density, scope, at_random)
    assert nodepath.MaskSet(found.masks) == nodepath.MaskSet(expected.masks)
    assert list(found.scores) == list(expected.scores)
    for name, ranks in expected.scores.items():
        torch.testing.assert_close(found.scores[name], ranks, rtol=1e-9, atol=0)


@pytest.mark.parametrize("method", ["synflow", "synflow-npb", "synflow-l2"])
def test_layers_that_are_not_pruned_carry_flow(method, request):
    model = network("layers")

    def masks() -> nodepath.MaskSet:
        x = torch.zeros(1, 2, 8, 8)
        return nodepath.prune(
            model, x, method, sparsity=0.9, resolution="channel", exclude="0.*", on_collapse="keep-one"
        )

    found = masks()
    request.getfixturevalue("one_each")
    assert found == masks()


def test_layers_at_several_places_or_of_one_cell_are_not_parallel():
    model = nn.Sequential(conv(2, 4), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(4 * 36, 3))
    for resolution, parallel_ones in (("pixel", set()), ("channel", {"0.weight"})):
        read = problem_of(model, torch.zeros(1, 2, 6, 6), 1.0, resolution).network
        assert parallel_layers(course(record(read, FLOW), read.layers)) == parallel_ones


def test_few_parallel_weights_are_not_worth_it():
    model = nn.Sequential(conv(2, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 100))
    problem = problem_of(model, torch.zeros(1, 2, 6, 6), 1.0, "channel")
    assert not Parallel.pays(problem, course(record(problem.network, FLOW), problem.network.layers))


def test_channels_that_differ_by_more_than_float64_holds(request):
    model = network("layers").double()
    with torch.no_grad():
        model[2].weight[0] *= 2.0**600
        model[2].weight[1] *= 2.0**-600
    found = chosen(model, 0.3, None)
    request.getfixturevalue("one_each")
    assert nodepath.MaskSet(found.masks) == nodepath.MaskSet(chosen(model, 0.3, None).masks)
