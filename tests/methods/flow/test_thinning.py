"""SynFlow with few places and few channels, against walks through the whole network in float64."""

import warnings
from collections.abc import Collection
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pieces import pieces
from problems import problem_of
from torch import Tensor, nn

import nodepath
from nodepath.errors import CollapseWarning
from nodepath.methods.flow.by_flow import by_flow, walked
from nodepath.methods.flow.thinning import Contest, Thinning
from nodepath.methods.iterate import on_schedule
from nodepath.methods.problem import Choice, Problem
from nodepath.paths import Network
from nodepath.paths.replay.course import course
from nodepath.paths.replay.recording import record
from nodepath.paths.replay.steps import Layout
from nodepath.paths.semantics import FLOW
from nodepath.scores.path_flow import PathFlow


def reference(problem: Problem, *arguments, **options) -> Choice:
    """Walks in float64, weights too: of float32 ones, those of a folded kernel would be added up in float32."""
    weights = {name: weight.double() for name, weight in problem.weights.items()}
    return walked(replace(problem, weights=weights), *arguments, **options)


def zoo(name: str) -> tuple[nn.Module, Tensor]:
    model = nodepath.models.create(name, seed=0)
    return model, torch.zeros(1, *nodepath.models.describe(name).input_size)


def overlap(one: Choice, other: Choice) -> float:
    return nodepath.MaskSet(one.masks).overlap(nodepath.MaskSet(other.masks)).total


LARGE = {
    "methods.flow.by_flow._SMALL": 0,  # shares in float32
    "methods.flow.parallel._MOST": 0,
    "paths.replay.between._SMALL": 0,
    "paths.replay.small_layers._SMALL": 0,
    "paths.replay.small_layers._SMALL_VECTOR": 0,
}
FORGETFUL = {"methods.flow.one_each._REBUILT": -(10**9)}
AS_IF = {
    "small": {},
    "small and forgetful": FORGETFUL | {"methods.flow.parallel._MOST": 0},
    "large": LARGE | FORGETFUL,
    "large in float64": LARGE | FORGETFUL | {"methods.flow.by_flow._SMALL": 1 << 20},
}
"""How networks of several sizes are thinned; forgetful: channels and weights are forgotten whatever that costs."""


@pytest.fixture(params=AS_IF, autouse=True)
def as_if(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AS_IF[request.param].items():
        monkeypatch.setattr(f"nodepath.{name}", value)


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
@pytest.mark.parametrize(("at_random", "revive"), [((), True), (range(0, 3, 2), True), (range(0, 3, 2), False)])
def test_masks_are_those_of_walks_in_float64(resolution, at_random, revive):
    model, x = zoo("resnet20")
    found, expected = (
        prune(problem_of(model, x, 0.01, resolution), 10, at_random, revive=revive) for prune in (by_flow, reference)
    )
    assert overlap(found, expected) == 1.0


def trace(problem: Problem, iterations: int, at_random: Collection[int]) -> dict[int, dict[str, Tensor]]:
    """The masks after each step, of which random ones choose among the kept."""
    found: dict[int, dict[str, Tensor]] = {}
    starts: list[dict[str, Tensor]] = []
    begin, step = Thinning.__post_init__, Thinning.step

    def beginning(self: Thinning) -> None:
        starts.append(self.start)
        begin(self)

    def stepping(self: Thinning, number: int, targets: dict[int, int]) -> None:
        step(self, number, targets)
        if starts:  # what there was at first, or a step drew
            found[number - 1] = starts.pop()
        found[number] = self.masks()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Thinning, "__post_init__", beginning)
        patch.setattr(Thinning, "step", stepping)
        by_flow(problem, iterations, at_random, revive=False)
    return found


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
@settings(
    deadline=None,
    max_examples=30,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(
    model=pieces(),
    scope=st.sampled_from(["global", "layerwise", "erk"]),
    density=st.sampled_from([0.02, 0.05, 0.1, 0.3, 0.8]),
    iterations=st.integers(8, 25),
    randomly=st.booleans(),
)
def test_each_step_keeps_the_best_by_walks_in_float64(resolution, model, scope, density, iterations, randomly):
    """Of what its own step before has left, so that a tie, decided by rounding in the walk, does not count twice."""
    problem = problem_of(model, torch.zeros(1, 2, 6, 6), density, resolution, scope)
    counts, names = problem.layer_counts(), problem.included
    contests = {names: problem.keep} if counts is None else {(name,): counts[name] for name in names}
    at_random = range(0, 6, 2) if randomly else ()
    left = {name: torch.ones_like(problem.weights[name], dtype=torch.bool) for name in names}
    states = trace(problem, iterations, at_random)
    assert sorted(states) == list(range(min(states), iterations + 1))
    for number in sorted(states):
        pruned = {name: problem.weights[name].double() * left[name] for name in names}
        walk = PathFlow()(problem.subject, pruned)
        for group, keep in contests.items():
            score, before, after = (
                torch.cat([each[n].flatten() for n in group]) for each in (walk, left, states[number])
            )
            assert int(after.sum()) == on_schedule(keep, len(score), number, iterations) if number else True
            assert not bool((after & ~before).any()), "what is pruned stays pruned"
            if number - 1 not in at_random and int(after.sum()) not in (0, int(before.sum())):
                kept, gone = score[after].min(), score[before & ~after].max()
                assert gone <= kept * (1 + 1e-9)
                if gone == 0:  # a tie for certain: the first stay
                    silent = before & (score == 0)
                    assert torch.equal(after[silent].sort(descending=True).values, after[silent])
        left = states[number]


@cache
def walked_in_float64(name: str, iterations: int) -> Choice:
    """Of one network of the zoo, at 99 %; about a minute."""
    return reference(problem_of(*zoo(name), 0.01), iterations)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "iterations"), [("resnet20", 100), ("wrn-16-8", 30), ("vgg19", 15), ("resnet18-tiny", 15)]
)
def test_many_iterations_keep_what_those_in_float64_keep(name, iterations):
    """In float32 alone a tenth of the mask of ResNet-18 would be another one: roundings grow from step to step."""
    found = by_flow(problem_of(*zoo(name), 0.01), iterations)
    assert overlap(found, walked_in_float64(name, iterations)) >= 0.999


def test_counts_that_differ_by_more_than_float32_holds_are_told_apart():
    """Channels of one layer that differ by 2**400, in a network whose weights are float32."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(*(nn.Linear(6, 6, bias=False) for _ in range(4)), nn.Linear(6, 3))
    with torch.no_grad():
        for layer in list(model)[:-1]:
            layer.weight.mul_(torch.tensor([[2.0**100], [1], [1], [1], [1], [2.0**-100]]))
            layer.weight[0, 1:], layer.weight[5, :5] = 0, 0
            layer.weight[1:5, 0], layer.weight[:5, 5] = 0, 0
    for density in (0.1, 0.3, 0.5):
        found, expected = (prune(problem_of(model, torch.zeros(1, 6), density), 30) for prune in (by_flow, reference))
        assert overlap(found, expected) == 1.0


def test_layers_that_are_not_pruned_stay_out_of_the_budget():
    model, x = zoo("resnet20")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        masks = nodepath.prune(model, x, "synflow", sparsity=0.9, iterations=5, exclude="*conv1*", on_collapse="warn")
    included = [name for name in Network(model, x).layers if "conv1" not in name]
    assert list(masks) == included
    assert masks.kept == round(0.1 * masks.total)


def thinning_of(shares: Tensor) -> Thinning:
    """Of a single layer of (1, n) whose shares are about as given."""
    model = nn.Linear(len(shares), 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(shares.unsqueeze(0))
    problem = problem_of(model, torch.zeros(1, len(shares)), 1.0)
    flowing = course(record(problem.network, FLOW), problem.network.layers)
    start = {"weight": torch.ones_like(model.weight, dtype=torch.bool)}
    return Thinning(problem, flowing, start, (Contest(("weight",), 0, len(shares)),), 1)


@pytest.mark.parametrize("size", [40, 3000, 100_000])
@pytest.mark.parametrize("kind", ["spread", "tied", "sparse"])
def test_lowest_are_those_of_a_stable_sort(size, kind):
    draw = torch.Generator().manual_seed(size)
    weights = torch.rand(size, generator=draw) + 0.01
    if kind == "tied":
        weights = (weights * 8).round().clamp(min=1) / 8
    if kind == "sparse":
        weights = weights * (torch.rand(size, generator=draw) < 0.1)
    alive = int((weights > 0).sum())
    order = weights.sort(descending=True, stable=True).indices
    for keep in {0, 1, alive // 3, round(0.95 * alive), alive - 1, alive, alive + 1}:
        thinning = thinning_of(weights)
        thinning.step(1, {0: keep})
        (left,) = thinning.masks().values()
        expected = order[:keep] if keep <= alive else torch.cat([order[:alive], (weights == 0).nonzero().flatten()[:1]])
        assert left.flatten().nonzero().flatten().tolist() == expected.sort().values.tolist()


def test_places_of_an_image_are_few():
    """224 x 224: the border of 3 pixels and the stride leave four rows and four columns, and each layer adds two."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 7, stride=2, padding=3),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3),
    )
    network = Network(model, torch.zeros(1, 3, 224, 224))
    layouts: tuple[Layout, ...] = course(record(network, FLOW), network.layers).layouts
    assert [layout.places for layout in layouts if layout.channel is not None] == [1, 16, 16, 36, 36]
    sizes = [int(layout.multiplicities.sum()) for layout in layouts if layout.channel is not None]
    assert sizes == [224**2, 112**2, 56**2, 56**2, 54**2]


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
@settings(
    deadline=None, max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)
@given(model=pieces())
def test_shares_asked_for_one_by_one_are_those_of_all(resolution, model):
    problem = problem_of(model.double(), torch.zeros(1, 2, 6, 6), 1.0, resolution)
    flowing = course(record(problem.network, FLOW), problem.network.layers)
    every = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in problem.weights.items()}
    sweep = Thinning(problem, flowing, every, (), 1, torch.float64).weights.sweep
    sweep.run()
    for name, block in sweep.edges.blocks.items():
        places = torch.randperm(block.size, generator=torch.Generator().manual_seed(0))
        found = sweep.exact(name, places)
        torch.testing.assert_close(found, block.view(sweep.edges.shares).flatten()[places], rtol=1e-9, atol=1e-15)


class Beside(nn.Module):
    """Six weights of next to no flow, which all goes on through one of the next layer, beside another layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.other, self.head = (nn.Linear(6, 6, bias=False) for _ in range(4))
        with torch.no_grad():
            for layer in (self.first, self.second, self.other, self.head):
                layer.weight.fill_(1)
            self.first.weight.mul_(2.0**-20)[1:] = 0
            self.second.weight.zero_()[0, 0] = 1

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)) + self.other(x))


def test_what_is_cut_off_has_lasted_until_then():
    """79 weights carry flow, and after the first of two steps 73 are left."""
    scores = by_flow(problem_of(Beside().double(), torch.zeros(1, 6), 37 / 144), 2).scores
    assert scores["first.weight"][0].tolist() == pytest.approx([1] * 6, rel=1e-6)
    assert scores["second.weight"][0, 0] == 2, "left until then, though nothing flows there any more"
    assert float(scores["second.weight"].sum()) == 2


class Padded(nn.Module):
    """Zeros beside the input."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4 * 4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.pad(x, (1, 1, 1, 1)).flatten(1))


def test_zeros_beside_the_input_are_no_paths():
    choice = by_flow(problem_of(Padded(), torch.zeros(1, 1, 2, 2), 4 / 16), 1)
    kept = choice.masks["head.weight"].any(0).view(4, 4).nonzero()
    assert kept.tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


class TwoOutputs(nn.Module):
    """Two layers of one input."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.left(x), self.right(x)


def test_outputs_keep_their_proportion_when_exponents_change():
    problem = problem_of(TwoOutputs().double(), torch.zeros(1, 4), 1.0)
    flowing = course(record(problem.network, FLOW), problem.network.layers)
    every = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in problem.weights.items()}
    sweep = Thinning(problem, flowing, every, (), 1, torch.float64).weights.sweep
    sweep.run()
    sweep.edges.blocks["left.weight"].view(sweep.edges.held).mul_(2.0**30)
    sweep.calibrate()
    sweep.run()
    found = {name: float(block.view(sweep.edges.shares).sum()) for name, block in sweep.edges.blocks.items()}
    sums = {
        name: float(weight.abs().sum()) * (2.0**30 if "left" in name else 1) for name, weight in problem.weights.items()
    }
    assert found == pytest.approx({name: value / sum(sums.values()) for name, value in sums.items()}, rel=1e-12)


def test_channels_without_flow_are_forgotten(monkeypatch):
    monkeypatch.setattr("nodepath.methods.flow.one_each._REBUILT", -(10**9))
    problem = problem_of(*zoo("resnet20"), 0.01)
    flowing = course(record(problem.network, FLOW), problem.network.layers)
    every = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in problem.weights.items()}
    thinning = Thinning(problem, flowing, every, (Contest(problem.included, problem.keep, 270896),), 40)
    for number in range(1, 31):
        thinning.step(number, {0: on_schedule(problem.keep, 270896, number, 40)})
    assert sum(weight.numel() for weight in problem.weights.values()) == 270896
    assert len(thinning.weights.held) < 100_000
