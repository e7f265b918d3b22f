import copy
import math
import warnings
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import CollapseError, CollapseWarning
from nodepath.methods.flow.lasting import Lasting
from nodepath.methods.iterate import iterate
from nodepath.methods.problem import Problem
from nodepath.paths import Network
from nodepath.scores import Subject

PRUNABLE = (nn.Linear, nn.Conv2d)


def plain_synflow(
    model: nn.Module, x: Tensor, keep: int, steps: range, iterations: int, masks: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """SynFlow as the paper writes it, in float64, with sorting: the model itself with |weights| and no biases."""
    model = copy.deepcopy(model).double().eval()
    weights = {f"{n}.weight": m.weight for n, m in model.named_modules() if isinstance(m, PRUNABLE)}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
        for module in model.modules():
            if getattr(module, "bias", None) is not None:
                module.bias.zero_()
    masks = masks or {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
    absolute = {name: w.detach().clone() for name, w in weights.items()}
    size = sum(w.numel() for w in weights.values())
    for step in steps:
        with torch.no_grad():
            for name, w in weights.items():
                w.copy_(absolute[name] * masks[name])
        slopes = torch.autograd.grad(model(torch.ones_like(x, dtype=torch.float64)).sum(), list(weights.values()))
        scores = {
            n: (w * g).detach().masked_fill(~masks[n], -1.0) for (n, w), g in zip(weights.items(), slopes, strict=True)
        }
        flat = torch.cat([score.flatten() for score in scores.values()])
        count = keep if step == iterations - 1 else round(size * (keep / size) ** ((step + 1) / iterations))
        chosen = torch.zeros_like(flat, dtype=torch.bool)
        chosen[flat.sort(descending=True, stable=True).indices[:count]] = True
        masks = {
            n: c.reshape(w.shape)
            for (n, w), c in zip(weights.items(), chosen.split([w.numel() for w in weights.values()]), strict=True)
        }
    return masks


def mlp(*widths: int, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers[:-1])


def convnet(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
        )


def pruned(model: nn.Module, x: Tensor, keep: int, **arguments) -> nodepath.MaskSet:
    size = sum(m.weight.numel() for m in model.modules() if isinstance(m, PRUNABLE))
    return nodepath.prune(model, x, sparsity=1 - keep / size, **{"method": "synflow", **arguments})


@pytest.mark.parametrize("iterations", [1, 2, 7, 100])
@pytest.mark.parametrize("seed", [0, 1])
def test_synflow_is_that_of_the_paper(iterations, seed):
    for model, x, keep in (
        (mlp(7, 12, 12, 4, seed=seed), torch.zeros(1, 7), 60),
        (convnet(seed), torch.zeros(1, 3, 8, 8), 90),
    ):
        expected = plain_synflow(model, x, keep, range(iterations), iterations)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CollapseWarning)  # in one shot it does empty a layer
            masks = pruned(model, x, keep, iterations=iterations, on_collapse="warn")
        assert masks == nodepath.MaskSet(expected)


def test_number_of_iterations_matters():
    model, x = mlp(7, 12, 12, 4), torch.zeros(1, 7)
    assert pruned(model, x, 30, iterations=1, on_collapse="warn") != pruned(model, x, 30, iterations=100)


@pytest.mark.parametrize(
    ("width", "depth", "iterations"),
    [(20, 10, 100), (8, 20, 100), (10, 20, 100), pytest.param(10, 30, 1000, marks=pytest.mark.slow)],
)
def test_as_many_weights_as_layers_leave_one_path_of_a_deep_chain(width, depth, iterations):
    """Maximal critical compression (Tanaka et al. 2020, theorem 3), down to its last step.

    The theorem needs each step to prune less than a layer's share: of 30 layers 100 steps may empty some, here as in
    the paper's own form of the algorithm.
    """
    model, x = mlp(*[width] * (depth + 1)), torch.zeros(1, width)
    masks = pruned(model, x, depth, iterations=iterations)
    assert [layer.kept for layer in masks.layers.values()] == [1] * depth
    assert nodepath.measure(model, x, masks).log10_paths == 0.0


@pytest.mark.parametrize("extra", [1, 5, 20, 100])
def test_no_layer_of_a_deep_chain_is_emptied_on_the_way_there(extra):
    model, x = mlp(*[10] * 21), torch.zeros(1, 10)
    masks = pruned(model, x, 20 + extra)
    assert min(layer.kept for layer in masks.layers.values()) >= 1
    assert masks.kept == 20 + extra


def test_as_many_weights_as_layers_leave_one_path_of_a_convolutional_chain():
    model = nn.Sequential(
        *(layer for n in range(8) for layer in (nn.Conv2d(3 if n == 0 else 6, 6, 3, padding=1), nn.ReLU())),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
    )
    masks = pruned(model, torch.zeros(1, 3, 6, 6), 9)
    assert [layer.kept for layer in masks.layers.values()] == [1] * 9


@pytest.mark.parametrize("exponent", [-200, 200])
def test_scaling_a_layer_changes_nothing_even_beyond_the_range_of_floats(exponent):
    """Each share is homogeneous of degree 0 in each layer; the product here is 2**(24 * exponent)."""
    model, x = mlp(*[6] * 25).double(), torch.zeros(1, 6)
    before = pruned(model, x, 200)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0**exponent)
    assert pruned(model, x, 200) == before


def test_scores_are_finite_on_resnet56():
    """Float32 flow is not: 56 layers of Kaiming weights, 3x3x64 wide."""
    model, x = nodepath.models.create("resnet56", num_classes=10, seed=0), torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(100)
    with pytest.warns(CollapseWarning, match="live skip"):  # projection shortcuts
        masks = nodepath.prune(model, x, method="synflow", sparsity=0.9, iterations=5)
    assert masks.kept == round(0.1 * 851_504)
    assert math.isfinite(nodepath.measure(model, x, masks).log10_paths)


def test_biases_norms_and_training_state_have_no_say():
    model, x = convnet(), torch.zeros(1, 3, 8, 8)
    before = pruned(model, x, 90)
    with torch.no_grad():
        for module in model.modules():
            if getattr(module, "bias", None) is not None:
                module.bias.fill_(-3.0)
    assert pruned(model, x, 90) == before


def test_sign_of_the_weights_has_no_say():
    model, x = convnet(), torch.zeros(1, 3, 8, 8)
    before = pruned(model, x, 90)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    assert pruned(model, x, 90) == before


@pytest.mark.parametrize("seed", range(8))
def test_what_is_pruned_never_comes_back(seed):
    """Dead ends score 0, no more than what is pruned; a revived weight could bring one back to life."""
    model, x = mlp(4, 6, 6, 3, seed=seed), torch.zeros(1, 4)
    for keep in (6, 10, 40):
        expected = plain_synflow(model, x, keep, range(60), 60)
        masks = pruned(model, x, keep, iterations=60)
        assert masks == nodepath.MaskSet(expected)


class TestIterate:
    @pytest.fixture
    def problem(self) -> Problem:
        network = Network(mlp(5, 10, 10, 5), torch.zeros(1, 5))
        subject = Subject(network, torch.Generator().manual_seed(0))
        return Problem(network, subject, network.weights(), tuple(network.layers), keep=13)

    def test_follows_the_exponential_schedule_and_ends_at_the_exact_count(self, problem):
        seen = []

        def rescore(step, weights, masks):
            seen.append((step, sum(int(m.sum()) for m in masks.values())))
            assert all(torch.equal(weights[n], problem.weights[n] * masks[n]) for n in masks)
            return {n: w.abs().masked_fill(~masks[n], -math.inf) for n, w in problem.weights.items()}

        choice = iterate(problem, rescore, 8)
        schedule = [200] + [round(200 * (13 / 200) ** (n / 8)) for n in range(1, 8)]
        assert seen == list(enumerate(schedule))
        assert sum(int(m.sum()) for m in choice.masks.values()) == 13

    def test_keeps_pruned_what_scores_minus_infinity(self, problem):
        seen = []

        def rescore(step, weights, masks):
            seen.append(masks)
            draws = {n: torch.rand(w.shape, generator=problem.generator) for n, w in problem.weights.items()}
            return {n: draw.masked_fill(~masks[n], -math.inf) for n, draw in draws.items()}

        seen.append(iterate(problem, rescore, 8).masks)
        for before, after in pairwise(seen):
            assert all(bool((after[n] <= before[n]).all()) for n in after)

    def test_refuses_scores_that_are_not_numbers(self, problem):
        def rescore(step, weights, masks):
            return {n: torch.full_like(w, math.nan if step == 2 else 1.0) for n, w in weights.items()}

        with pytest.raises(nodepath.errors.NonFiniteError, match=r"'0\.weight'"):
            iterate(problem, rescore, 8)


class TestSynFlowNpb:
    def draws(self, model: nn.Module, seed: int, times: int) -> dict[str, Tensor]:
        """The last of the draws that a generator with that seed gives."""
        generator = torch.Generator().manual_seed(seed)
        weights = {f"{n}.weight": m.weight for n, m in model.named_modules() if isinstance(m, PRUNABLE)}
        for _ in range(times):
            last = {n: torch.rand(w.shape, generator=generator, dtype=torch.float64) for n, w in weights.items()}
        return last

    def best(self, draws: dict[str, Tensor], keep: int) -> dict[str, Tensor]:
        border = torch.cat([d.flatten() for d in draws.values()]).sort(descending=True).values[keep - 1]
        return {n: d >= border for n, d in draws.items()}

    @pytest.mark.parametrize("keep", [90, 200])
    @pytest.mark.parametrize("seed", [0, 5])
    def test_is_a_random_mask_of_density_rho_to_the_015_and_then_85_iterations(self, keep, seed):
        """node-path-balancing.md section 2: only the last random iteration, the 15th, matters."""
        model, x = convnet(), torch.zeros(1, 3, 8, 8)
        size = sum(w.numel() for w in self.draws(model, 0, 1).values())
        start = self.best(self.draws(model, seed, 1), round(size * (keep / size) ** 0.15))
        expected = plain_synflow(model, x, keep, range(15, 100), 100, start)
        assert pruned(model, x, keep, method="synflow-npb", seed=seed, on_collapse="warn") == nodepath.MaskSet(expected)

    def test_revives_what_a_random_iteration_before_had_pruned(self):
        model, x = convnet(), torch.zeros(1, 3, 8, 8)
        options = {"iterations": 2, "random_every": 1, "random_until": 2, "on_collapse": "warn"}
        masks = pruned(model, x, 200, method="synflow-npb", seed=3, **options)
        assert masks == nodepath.MaskSet(self.best(self.draws(model, 3, 1), 200))

    def test_keeps_pruned_what_is_pruned_if_asked(self):
        model, x = convnet(), torch.zeros(1, 3, 8, 8)
        options = {"iterations": 2, "random_every": 1, "random_until": 2, "on_collapse": "warn", "revive": False}
        masks = pruned(model, x, 200, method="synflow-npb", seed=3, **options)
        size = masks.total
        first = self.best(self.draws(model, 3, 1), round(size * (200 / size) ** 0.5))
        assert all(bool((masks[n] <= first[n]).all()) for n in masks)
        again = {n: d.masked_fill(~first[n], -1) for n, d in self.draws(model, 3, 2).items()}
        assert masks == nodepath.MaskSet(self.best(again, 200))

    def test_without_random_iterations_is_synflow(self):
        model, x = convnet(), torch.zeros(1, 3, 8, 8)
        assert pruned(model, x, 90, method="synflow-npb", random_until=0) == pruned(model, x, 90)


def test_emptied_layer_of_a_chain_below_critical_compression_is_a_collapse():
    with pytest.warns(CollapseWarning):
        masks = pruned(mlp(5, 5, 5, 5), torch.zeros(1, 5), 2, on_collapse="warn")
    assert masks.kept == 2


def test_ranks_of_emptied_layers_are_made_only_where_one_is_emptied(monkeypatch):
    """They take twice the memory of the model."""
    asked = []
    make = Lasting.__getitem__
    monkeypatch.setattr(Lasting, "__getitem__", lambda lasting, name: asked.append(name) or make(lasting, name))
    pruned(mlp(5, 5, 5, 5), torch.zeros(1, 5), 20, on_collapse="keep-one")
    assert not asked
    with pytest.raises(CollapseError):
        pruned(mlp(5, 5, 5, 5), torch.zeros(1, 5), 2, on_collapse="keep-one")
    assert asked
