import itertools
import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError
from nodepath.methods.control_share import control_share
from nodepath.methods.dpai_objective import Objective
from nodepath.methods.dpai_slopes import slopes_of, walked_slopes
from nodepath.methods.problem import Problem
from nodepath.paths import Network
from nodepath.paths.replay.edges import Edges
from nodepath.scores import Subject

pytestmark = pytest.mark.filterwarnings("ignore::nodepath.errors.CollapseWarning")  # of random starts


class Residual(nn.Module):
    """Three inputs, a stream of four units, a branch of two layers, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(5, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        return self.d(x + self.c(self.b(x).relu()))


def paths_one_by_one(m: Mapping[str, Tensor]) -> float:
    """Of `Residual`, the sum over all paths of the product of their edges."""
    a, b, c, d = (m[f"{name}.weight"].tolist() for name in "abcd")
    total = 0.0
    for i, j, o in itertools.product(range(3), range(4), range(2)):
        total += a[j][i] * d[o][j]
        for k, last in itertools.product(range(5), range(4)):
            total += a[j][i] * b[k][j] * c[last][k] * d[o][last]
    return total


class Convs(nn.Module):
    """Convolutions with a projection beside them: kernels of several weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(2, 4, 3, padding=1)
        self.branch = nn.Conv1d(4, 6, 3, padding=1, stride=2, groups=2)
        self.project = nn.Conv1d(4, 6, 1, stride=2)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        return self.head((self.branch(x) + self.project(x)).relu().mean(2))


class Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x + self.attention(x, x, x, need_weights=False)[0]).mean(1))


def problem_of(model: nn.Module, x: Tensor, resolution: str = "pixel", sparsity: float = 0.5) -> Problem:
    network = Network(model.eval(), x, resolution)
    subject = Subject(network, torch.Generator().manual_seed(0), None)
    keep = round((1 - sparsity) * network.prunable)
    return Problem(network, subject, network.weights(), tuple(network.layers), keep)


def drawn_mask(edges: Edges, density: float, seed: int) -> dict[str, Tensor]:
    """Fills the edges at random."""
    generator = torch.Generator().manual_seed(seed)
    edges.held.copy_(torch.rand(len(edges.held), generator=generator) < density)
    return {name: block.filled(block.view(edges.held)).clone() for name, block in edges.blocks.items()}


def by_parameter(edges: Edges, values: Tensor) -> dict[str, Tensor]:
    return {name: block.filled(block.view(values)).clone() for name, block in edges.blocks.items()}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("walks", [False, True])
def test_slopes_are_those_of_the_log_of_all_paths_also_of_weights_that_are_not_kept(seed, walks):
    problem = problem_of(Residual(), torch.zeros(1, 3))
    edges, slopes = slopes_of(problem)
    if walks:
        slopes = walked_slopes(problem.network, edges)
    mask = drawn_mask(edges, 0.6, seed)
    found, reaches = slopes()
    assert reaches
    found = by_parameter(edges, found)
    step = 1e-5
    for name, weight in mask.items():
        for place in range(weight.numel()):
            ends = []
            for way in (-step, step):
                moved = {other: each.clone() for other, each in mask.items()}
                moved[name].view(-1)[place] += way
                ends.append(math.log(paths_one_by_one(moved)))
            expected = (ends[1] - ends[0]) / (2 * step)
            assert found[name].view(-1)[place].item() == pytest.approx(expected, abs=1e-8), (name, place)


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
def test_walks_and_a_course_laid_out_give_the_same_slopes(resolution):
    problem = problem_of(Convs(), torch.zeros(1, 2, 7), resolution)
    edges, slopes = slopes_of(problem)
    drawn_mask(edges, 0.5, 1)
    by_course = slopes()[0].clone()
    assert by_course.count_nonzero() > 20
    assert torch.allclose(walked_slopes(problem.network, edges)()[0], by_course, rtol=1e-12, atol=0)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("update", ["paper", "code"])
def test_nodes_and_kernels_pull_as_documented_by_the_paths_that_are_lost_without_them(update, seed):
    problem = problem_of(Convs(), torch.zeros(1, 2, 7))
    edges, slopes = slopes_of(problem)
    mask = drawn_mask(edges, 0.35, seed)
    found = by_parameter(edges, slopes()[0])

    def paths(masks: Mapping[str, Tensor]) -> float:
        kept = {name: each != 0 for name, each in masks.items()}
        return 10.0 ** nodepath.measure(problem.network.model, torch.zeros(1, 2, 7), nodepath.MaskSet(kept)).log10_paths

    all_paths = paths(mask)

    def lost(name: str, part: tuple) -> float:
        without = {**mask, name: mask[name].clone()}
        without[name][part] = 0
        share = 1 - paths(without) / all_paths
        return share if share > 1e-9 else 0.0  # measured by a logarithm

    alpha, beta, gamma = 0.7, 0.4, 20.0
    nodes = {(n, o): lost(n, (o,)) for n, m in mask.items() for o in range(m.shape[0])}
    kernels = {
        (n, o, i): lost(n, (o, i)) for n, m in mask.items() for o in range(m.shape[0]) for i in range(m.shape[1])
    }
    objective = Objective(alpha=alpha, beta=beta, gamma=gamma, update=update)
    ascent = by_parameter(edges, objective.ascent(edges, slopes()[0]))
    assert any(share == 0 for share in nodes.values())

    def pull(share: float, shares: Mapping[tuple, float]) -> float:
        if update == "code":
            return float(share == 0)
        number = sum(math.tanh(gamma * each) for each in shares.values())
        return gamma / number * (1 - math.tanh(gamma * share) ** 2)

    for (name, o, i), share in kernels.items():
        factor = (1 - alpha) + alpha * ((1 - beta) * pull(nodes[name, o], nodes) + beta * pull(share, kernels))
        assert torch.allclose(ascent[name][o, i], factor * found[name][o, i], rtol=1e-5, atol=1e-12), (name, o, i)


def test_where_every_kernel_lives_the_code_follows_paths_alone_and_the_paper_the_weaker_nodes():
    problem = problem_of(Residual(), torch.zeros(1, 3))
    edges, slopes = slopes_of(problem)
    edges.held.fill_(1)
    edges.blocks["a.weight"].view(edges.held)[0, 0, 0, 1:] = 0.01  # a node by a thread
    found = slopes()[0]
    settings = {"alpha": 0.99, "beta": 0.0, "gamma": 10.0}
    code, paper = (Objective(update=each, **settings).ascent(edges, found) for each in ("code", "paper"))
    assert torch.allclose(code, 0.01 * found)
    ratio = edges.blocks["a.weight"].view(paper / found)[0, :, 0, 0]
    assert ratio.argmax() == 0
    assert ratio[0] > 1.5 * ratio[1]


@pytest.fixture(scope="module")
def small() -> tuple[nn.Module, Tensor]:
    return nodepath.models.create("lenet5", seed=0), torch.zeros(1, 1, 32, 32)


@pytest.mark.parametrize("update", ["paper", "code"])
def test_nodes_and_paths_grow_from_a_random_start(update):
    model, x = Convnet(), torch.zeros(1, 3, 8, 8)

    def shape(steps: int, seed: int) -> tuple[int, float, float]:
        masks = nodepath.prune(
            model, x, method="dpai", sparsity=0.98, seed=seed, steps=steps, update=update, on_collapse="warn"
        )
        topology = nodepath.measure(model, x, masks)
        return topology.nodes, topology.log10_paths, topology.effective / topology.kept

    starts, ends = ([shape(steps, seed) for seed in range(2)] for steps in (0, 200))
    for start, end in zip(starts, ends, strict=True):
        assert end[0] >= start[0]
        assert end[1] > start[1] + 0.1
        assert end[2] > start[2]
    random = [nodepath.prune(model, x, method="erk", sparsity=0.98, seed=seed, on_collapse="warn") for seed in range(3)]
    erk = [nodepath.measure(model, x, masks) for masks in random]
    assert sum(end[0] for end in ends) / 2 > sum(topology.nodes for topology in erk) / 3
    assert min(end[1] for end in ends) > max(topology.log10_paths for topology in erk)


class Convnet(nn.Module):
    """A small residual network."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem = nn.Conv2d(3, 12, 3, padding=1)
            self.one, self.two = nn.Conv2d(12, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
            self.down, self.head = nn.Conv2d(12, 24, 3, padding=1, stride=2), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (x + self.two(self.one(x).relu())).relu()
        return self.head(self.down(x).relu().mean((2, 3)))


def test_where_the_start_has_no_path_it_stays():
    model = nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(8, 8), nn.ReLU())))
    x, budget = torch.zeros(1, 8), {"sparsity": 1 - 6 / 384, "on_collapse": "warn"}
    start, end = (nodepath.prune(model, x, method="dpai", steps=steps, seed=0, **budget) for steps in (0, 5))
    assert nodepath.measure(model, x, start).log10_paths == -math.inf
    assert end == start


def test_layers_keep_the_counts_of_the_budget_or_of_the_user_and_scope_global_lets_them_compete(small):
    model, x = small
    sizes = {name: layer.size for name, layer in Network(model, x).layers.items()}

    def counts(**arguments) -> dict[str, int]:
        masks = nodepath.prune(model, x, method="dpai", seed=0, steps=3, **arguments)
        return {name: int(mask.sum()) for name, mask in masks.items()}

    random = nodepath.prune(model, x, method="erk", sparsity=0.9, seed=0)
    assert counts(sparsity=0.9, budget="erk") == {name: int(mask.sum()) for name, mask in random.items()}
    own = {name: size // 7 for name, size in sizes.items()}
    assert counts(layer_counts=own) == own
    shared = counts(sparsity=0.9, scope="global")
    assert sum(shared.values()) == round(0.1 * sum(sizes.values()))
    assert all(0.05 < shared[name] / size < 0.2 for name, size in sizes.items() if size > 1000)  # as drawn: N(0, 1)


def test_layers_that_are_excluded_stay_dense_and_count(small):
    model, x = small
    names = list(Network(model, x).layers)
    masks = nodepath.prune(model, x, method="dpai", sparsity=0.9, seed=0, steps=3, exclude=[names[0]])
    assert set(masks) == set(names[1:])


def test_what_steers_keeps_its_share_at_random_and_values_are_scored():
    model, x = Attentive(), torch.zeros(1, 5, 8)
    masks = nodepath.prune(model, x, method="dpai", sparsity=0.8, seed=0, steps=60, lr=0.05)
    assert masks.kept == round(0.2 * (4 * 64 + 24))
    problem = problem_of(model, x, sparsity=0.8)
    share = control_share(problem)
    assert sum(map(int, masks["attention.in_proj_weight"][:16].sum(1))) == sum(map(share.number_kept, share.cells))
    topology = nodepath.measure(model, x, masks)
    start = nodepath.measure(model, x, nodepath.prune(model, x, method="dpai", sparsity=0.8, seed=0, steps=0))
    assert topology.log10_paths > start.log10_paths


def test_the_seed_decides_the_mask(small):
    model, x = small

    def pruned(seed: int) -> nodepath.MaskSet:
        return nodepath.prune(model, x, method="dpai", sparsity=0.95, seed=seed, steps=5)

    first = pruned(3)
    torch.rand(5)
    assert pruned(3) == first
    assert pruned(4) != first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.01}, "alpha is 1.01"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"beta": -0.1}, "beta is -0.1"),
        ({"beta": True}, "beta is True"),
        ({"lr": 0}, "lr is 0"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"gamma": -1}, "gamma is -1"),
        ({"gamma": "1"}, "gamma is '1'"),
        ({"steps": -1}, "steps is -1"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"steps": True}, "steps is True"),
        ({"update": "other"}, "update is 'other'"),
        ({"update": ["code"]}, r"update is \['code'\]"),
        ({"budget": "no-such"}, "erk"),
        ({"budget": 3}, "budget is 3"),
    ],
)
def test_a_bad_option_is_refused_by_its_name_and_value(small, options, message):
    with pytest.raises(ArgumentError, match=message):
        nodepath.prune(*small, method="dpai", sparsity=0.9, **options)
