import math
import warnings
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError, BudgetWarning, CollapseWarning
from nodepath.methods.phew import _some_walks
from nodepath.methods.walks import Walker
from nodepath.paths import Network
from nodepath.paths.wiring import wiring


def walker_of(model: nn.Module, x: Tensor) -> Walker:
    network = Network(model, x)
    return Walker(network, wiring(network), {name: w.abs().double() for name, w in network.weights().items()})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def paths_of(walker: Walker, number: int, first: int = 0) -> list[tuple[int, ...]]:
    steps = _some_walks(walker, first, number, generator())
    found = [[] for _ in range(number)]
    for walk, weight in zip(steps.walk.tolist(), steps.weight.tolist(), strict=True):
        found[walk].append(weight)
    return [tuple(path) for path in found]


def tiny() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.5, -1.0], [2.0, 0.25], [-1.5, 0.75]]))
        model[2].weight.copy_(torch.tensor([[1.0, -0.5, 0.0], [0.25, 2.0, -3.0]]))
    return model


def agree(found: Counter, wanted: dict[tuple[int, ...], float]) -> None:
    """Each share of n draws within five standard deviations, and nothing else drawn."""
    number = found.total()
    assert set(found) <= {path for path, share in wanted.items() if share}
    for path, share in wanted.items():
        assert abs(found[path] / number - share) <= 5 * math.sqrt(share * (1 - share) / number), path


def test_walks_are_in_proportion_to_sizes_in_either_direction():
    model = tiny()
    first, second = (layer.weight.detach().abs() for layer in (model[0], model[2]))
    found = paths_of(walker_of(model, torch.zeros(1, 2)), 40_000)
    forwards, backwards = Counter(found[::2]), Counter(found[1::2])
    onward, back = {}, {}
    for i in range(2):
        for j in range(3):
            for k in range(2):
                path = (2 * j + i, 6 + 3 * k + j)
                onward[path] = float(0.5 * first[j, i] / first[:, i].sum() * second[k, j] / second[:, j].sum())
                back[path[::-1]] = float(0.5 * second[k, j] / second[k].sum() * first[j, i] / first[j].sum())
    agree(forwards, onward)
    agree(backwards, back)


def test_walks_begin_at_each_unit_in_turn():
    walker = walker_of(tiny(), torch.zeros(1, 2))
    found = paths_of(walker, 16, first=8)
    assert [path[0] % 2 for path in found[::2]] == [0, 1] * 4  # column of the first layer: the input
    assert [(path[0] - 6) // 3 for path in found[1::2]] == [0, 1] * 4  # row of the last: the output


def test_cells_of_a_kernel_are_drawn_in_proportion_to_their_sizes():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 2, (1, 3), padding=(0, 1), groups=2), nn.ConvTranspose2d(2, 1, (1, 2)))
    first, second = (layer.weight.detach().abs() for layer in model)
    found = Counter(paths_of(walker_of(model, torch.zeros(1, 2, 4, 4)), 40_000)[1::2])
    wanted = {}
    for i in range(2):
        for cell in range(3):
            for last in range(2):
                into = second[i, 0, 0, last] / second.sum()
                wanted[6 + 2 * i + last, 3 * i + cell] = float(into * first[i, 0, 0, cell] / first[i].sum())
    agree(found, wanted)


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch, self.head = (nn.Linear(1, 1, bias=False) for _ in range(3))
        with torch.no_grad():
            for weight, value in ((self.stem.weight, 1.0), (self.branch.weight, 3.0), (self.head.weight, -5.0)):
                weight.fill_(value)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.branch(x) + x)


def test_at_a_residual_add_walks_choose_among_the_edges_of_all_branches():
    found = paths_of(walker_of(Skip(), torch.zeros(1, 1)), 40_000)
    agree(Counter(found[::2]), {(0, 1, 2): 3 / 8, (0, 2): 5 / 8})  # who reads: branch, head
    agree(Counter(found[1::2]), {(2, 1, 0): 3 / 4, (2, 0): 1 / 4})  # who wrote: branch, stem


class Residual(nn.Module):
    """Identity and projection shortcuts, concatenation, pooling, groups, a gate, features flattened."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.a = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.b, self.squeeze = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.c, self.d = nn.Conv2d(8, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.project, self.head = nn.Conv2d(8, 12, 1), nn.Linear(20 * 16, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = self.b(self.a(x).relu())
        x = (y * self.squeeze(y.mean((2, 3), keepdim=True)).sigmoid() + x).relu()
        z = (self.d(self.c(x).relu()) + self.project(x)).relu()
        return self.head(nn.functional.max_pool2d(torch.cat([z, x], 1), 4).flatten(1))


def pruned(model: nn.Module, x: Tensor, **arguments) -> nodepath.MaskSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return nodepath.prune(model, x, "phew", on_collapse="warn", **arguments)


X = torch.zeros(1, 3, 16, 16)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.95, 0.99])
def test_every_weight_kept_lies_on_a_path_and_the_count_is_exact(sparsity, seed):
    model = Residual()
    topology = nodepath.measure(model, X, pruned(model, X, sparsity=sparsity, seed=seed))
    assert topology.kept == round((1 - sparsity) * topology.prunable)
    # what steers is kept at random, and reached where its channels are
    values = [layer for layer in topology.layers if layer.name != "squeeze.weight"]
    assert sum(layer.effective for layer in values) == sum(layer.kept for layer in values)


def test_every_weight_kept_of_resnet20_lies_on_a_path():
    model, x = nodepath.models.create("resnet20", seed=0), torch.zeros(1, 3, 32, 32)
    for sparsity in (0.95, 0.999):
        topology = nodepath.measure(model, x, pruned(model, x, sparsity=sparsity))
        assert topology.effective == topology.kept == round((1 - sparsity) * topology.prunable)


def test_stops_at_the_budget_within_the_walk_that_passes_it_where_no_other_fits():
    model = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(6)))
    masks = pruned(model, torch.zeros(1, 2), sparsity=1 - 3 / 24)
    assert [int(mask.sum()) for mask in masks.values()] == [1, 1, 1, 0, 0, 0]  # the first walk runs forwards


def test_wide_layers_stay_wider_than_with_synflow_l2():
    """The paper's reason to walk: SynFlow-L2 ends in bottlenecks (its section 4)."""
    model, x = nodepath.models.create("resnet20", seed=0), torch.zeros(1, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        nodes = [
            nodepath.measure(model, x, nodepath.prune(model, x, method, sparsity=0.98, on_collapse="warn", **o)).nodes
            for method, o in (("phew", {}), ("synflow-l2", {"iterations": 10}))
        ]
    assert nodes[0] > 1.5 * nodes[1]


def test_a_layer_with_a_count_of_its_own_takes_the_first_that_come():
    model = Residual()
    counts = {name: 1 + place for place, name in enumerate(Network(model, X).layers)}
    masks = pruned(model, X, layer_counts=counts)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == counts
    masks = pruned(model, X, sparsity=0.9, scope="layerwise")
    assert all(abs(int(mask.sum()) / mask.numel() - 0.1) < 0.02 for mask in masks.values())
    kept = {name: int(mask.sum()) for name, mask in masks.items()}
    live = {name: int(mask.sum()) for name, mask in nodepath.effective(model, X, masks).items()}
    assert live["stem.weight"] == kept["stem.weight"]


def test_a_layer_that_is_left_out_is_walked_through_and_costs_nothing():
    model = tiny()
    masks = nodepath.prune(model, torch.zeros(1, 2), "phew", sparsity=0.5, include="0.weight")
    assert masks.kept == 3
    assert set(masks) == {"0.weight"}


def test_after_so_many_walks_the_largest_fill_the_rest_with_a_warning():
    model = tiny()
    with pytest.warns(BudgetWarning, match=r"passed \d of 10 weights after 2 walks; .* raise walks="):
        masks = pruned(model, torch.zeros(1, 2), sparsity=1 - 10 / 12, walks=2)
    assert masks.kept == 10
    assert not masks["2.weight"][0, 2]  # zero


def test_where_nearly_all_are_kept_those_that_no_walk_can_pass_come_last():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1), nn.Flatten())
    x = torch.zeros(1, 1, 1, 1)  # all cells but the middle one see padding alone
    with torch.no_grad():
        model[0].weight[:, :, 1, 1] = 1e-3
    masks = pruned(model, x, sparsity=1 - 8 / 54)
    assert bool(masks["0.weight"][:, :, 1, 1].all())
    assert bool(masks["2.weight"][:, :, 1, 1].all())
    assert masks.kept == 8


@pytest.mark.parametrize("value", [0, 2.5, True, "many"])
def test_a_number_of_walks_that_makes_no_sense_is_refused(value):
    with pytest.raises(ArgumentError, match="walks is"):
        nodepath.methods.create("phew", walks=value)


def test_what_fills_the_rest_is_what_a_walk_could_have_passed():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1), nn.Flatten())
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight[:, :, 1, 1] *= 1e-3
    with pytest.warns(BudgetWarning, match="passed 2 of 5"):
        masks = pruned(model, torch.zeros(1, 1, 1, 1), sparsity=1 - 5 / 54, walks=1)
    assert sum(int(mask[:, :, 1, 1].sum()) for mask in masks.values()) == 5


def test_no_walk_goes_where_nothing_leads_on():
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False)
            self.register_buffer("fixed", torch.full((3, 3), 50.0))

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            nn.functional.linear(x, self.fixed)  # of no use
            return self.head(x)

    for path in paths_of(walker_of(Aside(), torch.zeros(1, 2)), 1000):
        assert len(path) == 2
        assert min(path) >= 0  # of the two layers, not of what is fixed
