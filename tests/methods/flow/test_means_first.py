"""Means before layers: the same flow, at fewer places."""

import pytest
import torch
from problems import problem_of
from torch import Tensor, nn

import nodepath
from nodepath.methods.flow.thinning import Thinning
from nodepath.paths.network import Network
from nodepath.paths.replay import draft, means_first
from nodepath.paths.replay.course import course
from nodepath.paths.replay.recording import record
from nodepath.paths.replay.steps import Apply, Course, Mean
from nodepath.paths.semantics import FLOW


class Residual(nn.Module):
    """Two layers beside a skip."""

    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, stride, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Identity() if stride == 1 else nn.Conv2d(width, width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.skip(x) + self.second(torch.relu(self.first(x))))


class Beside(nn.Module):
    """Channels side by side, of two layers that read the same, one of them through its mean alone."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(4, 3, 3, padding=1), nn.Conv2d(4, 3, (1, 5), padding=(0, 2))
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.left(x), self.right(x)], 1)
        return self.head(both.mean((2, 3)))


class MeanLeaves(nn.Module):
    """The mean leaves the network, and so does what it is a mean of."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        made = self.layer(self.layer(x))
        return made, made.mean((2, 3))


class RowMeans(nn.Module):
    """A mean over the rows alone, then one over windows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.head = nn.Linear(4 * 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.avg_pool2d(self.second(self.first(x)), 2)
        return self.head(pooled.mean(2).flatten(1))


HEAD = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
NETWORKS = {
    "layers": lambda: nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)), *HEAD),
    "residual": lambda: nn.Sequential(Residual(4), Residual(4, 2), Residual(4), *HEAD),
    "depthwise": lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 4, 1), *HEAD),
    "maximum": lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), *HEAD),
    "transposed": lambda: nn.Sequential(nn.ConvTranspose2d(4, 4, 3, 2), *HEAD),
    "beside": Beside,
    "leaves": MeanLeaves,
    "rows": RowMeans,
}


def network(kind: str) -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), NETWORKS[kind]()).double().eval()
    return model, torch.zeros(1, 2, 8, 8)


def laid_out(model: nn.Module, x: Tensor) -> Course:
    read = Network(model, x)
    return course(record(read, FLOW), read.layers)


def places(flowing: Course) -> list[int]:
    return [flowing.layouts[step.makes].places for step in flowing.steps if isinstance(step, Apply)]


@pytest.fixture
def as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "means_first", lambda layouts, steps, outputs: (layouts, steps))


def shares(kind: str) -> tuple[float, dict[str, Tensor]]:
    model, x = network(kind)
    problem = problem_of(model, x, 1.0)
    every = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in problem.weights.items()}
    sweep = Thinning(problem, laid_out(model, x), every, (), 1, torch.float64).weights.sweep
    sweep.run()
    total = sweep.total * 2.0 ** max(sweep._exponents[number] for number in sweep.course.outputs)
    return total, {name: block.filled(block.view(sweep.edges.shares)) for name, block in sweep.edges.blocks.items()}


@pytest.mark.parametrize("most", [0, 100, means_first._MOST])
@pytest.mark.parametrize("kind", NETWORKS)
def test_flow_is_the_same(kind, most, request, monkeypatch):
    monkeypatch.setattr(means_first, "_MOST", most)
    total, found = shares(kind)
    request.getfixturevalue("as_written")
    expected_total, expected = shares(kind)
    assert total == pytest.approx(expected_total, rel=1e-12)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("kind", NETWORKS)
def test_means_that_cannot_be_told_apart_by_their_keys_stay_apart(kind, request, monkeypatch):
    monkeypatch.setattr(means_first, "_mixture", lambda places: torch.ones(places, dtype=torch.float64))
    _, found = shares(kind)
    request.getfixturevalue("as_written")
    _, expected = shares(kind)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize(
    ("kind", "fewer"),
    [
        ("layers", [9, 25, 9, 1, 1]),
        ("depthwise", [9, 1, 1, 1]),
        ("beside", [9, 1, 1, 1]),
        ("leaves", [9, 25, 49]),
    ],
)
def test_last_layers_make_few_places(kind, fewer):
    assert places(laid_out(*network(kind))) == fewer


def test_layers_before_the_mean_of_a_resnet_are_sooner_done(request):
    model = nodepath.models.create("resnet20", seed=0).eval()
    x = torch.zeros(1, 3, 32, 32)
    found = laid_out(model, x)
    assert places(found)[-5:] == [64, 25, 9, 1, 1]
    request.getfixturevalue("as_written")
    assert places(laid_out(model, x))[-5:] == [64, 64, 64, 64, 1]


def test_what_has_no_mean_stays_as_it_is(request):
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    found = laid_out(model, torch.zeros(1, 2, 8, 8))
    request.getfixturevalue("as_written")
    assert places(found) == places(laid_out(model, torch.zeros(1, 2, 8, 8)))


def test_a_mean_that_is_needed_itself_stays():
    steps = laid_out(*network("leaves")).steps
    assert sum(isinstance(step, Mean) for step in steps) == 1
