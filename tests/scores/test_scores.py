"""Scores: what their docstrings say, by finite differences and brute force."""

import copy
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nodepath.errors import ArgumentError, InputMismatchError, NonFiniteError
from nodepath.paths import Network
from nodepath.scores import SCORES, Batch, Subject
from nodepath.scores.magnitude import Magnitude
from nodepath.scores.path_flow import PathFlow
from nodepath.scores.random import Random
from nodepath.scores.snip import Snip
from nodepath.scores.subject import batch_norm_mode

MODES = ["eval-identity", "frozen", "train-batch", "warmed-up"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Normed(nn.Module):
    """Two convolutions with BatchNorm, dropout, a head; everything random, in float64, smooth."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(3)
        self.conv2 = nn.Conv2d(3, 2, 3)
        self.bn2 = nn.BatchNorm2d(2)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 3)
        self.double()
        draw = generator(seed)
        with torch.no_grad():
            for name, tensor in self.state_dict().items():
                if tensor.is_floating_point():
                    tensor.copy_(
                        torch.rand(tensor.shape, generator=draw, dtype=torch.float64) - 0.4 * ("var" not in name)
                    )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.bn1(self.conv1(x)))
        x = torch.tanh(self.bn2(self.conv2(x)))
        return self.head(self.drop(x.flatten(1)))


def data(samples: int = 6) -> tuple[Tensor, Tensor]:
    x = torch.rand(samples, 2, 4, 4, generator=generator(1), dtype=torch.float64)
    return x, torch.arange(samples) % 3


def subject(model: nn.Module, batch: object = None, *, bn: str = "eval-identity", x: Tensor | None = None) -> Subject:
    network = Network(model, torch.zeros(1, 2, 4, 4) if x is None else x)
    return Subject(network, generator(), None if batch is None else Batch.of(batch), bn)  # type: ignore[arg-type]


def reference(model: Normed, mode: str, x: Tensor) -> Normed:
    """A copy whose statistics are set by hand, to be run as it is."""
    hand = copy.deepcopy(model).eval()
    norms = [(hand.conv1, hand.bn1), (hand.conv2, hand.bn2)]
    with torch.no_grad():
        if mode == "eval-identity":
            for _, norm in norms:
                norm.running_mean.zero_()
                norm.running_var.fill_(1.0)
                norm.bias.zero_()
        if mode == "warmed-up":
            for conv, norm in norms:
                out = conv(x)
                mean, rest = out.mean((0, 2, 3)), (0, 2, 3)
                norm.running_mean.copy_(mean)
                norm.running_var.copy_(out.var(rest, unbiased=True))
                shape = (1, -1, 1, 1)
                x = (out - mean.view(shape)) / (out.var(rest, unbiased=False).view(shape) + norm.eps).sqrt()
                x = torch.tanh(x * norm.weight.view(shape) + norm.bias.view(shape))
    if mode == "train-batch":
        for _, norm in norms:
            norm.train()
    return hand


def gate_slopes(hand: Normed, x: Tensor, targets: Tensor, step: float = 1e-5) -> dict[str, Tensor]:
    """|dL / dc| at c = 1 by central differences, c a gate that multiplies one weight."""
    found = {}
    for name in ("conv1.weight", "conv2.weight", "head.weight"):
        weight = hand.get_parameter(name)
        slopes = torch.zeros(weight.numel(), dtype=torch.float64)
        for i in range(weight.numel()):
            with torch.no_grad():
                flat, before = weight.view(-1), weight.view(-1)[i].item()
                losses = []
                for gate in (1 + step, 1 - step):
                    flat[i] = before * gate
                    losses.append(F.cross_entropy(hand(x), targets).item())
                flat[i] = before
            slopes[i] = abs(losses[0] - losses[1]) / (2 * step)
        found[name] = slopes.view_as(weight)
    return found


# SNIP


@pytest.mark.parametrize("mode", MODES)
def test_snip_is_the_slope_of_the_loss_in_each_gate(mode):
    model, (x, targets) = Normed(), data()
    about = subject(model, (x, targets), bn=mode)
    scores = Snip()(about, about.network.weights())
    expected = gate_slopes(reference(model, mode, x), x, targets)
    assert scores.keys() == expected.keys()
    for name, score in scores.items():
        assert torch.allclose(score, expected[name], rtol=1e-6, atol=1e-9), name
        assert not score.requires_grad


def test_the_four_batchnorm_modes_are_four_different_scores():
    about = {mode: subject(Normed(), data(), bn=mode) for mode in MODES}
    scores = {mode: Snip()(one, one.network.weights())["conv1.weight"] for mode, one in about.items()}
    for one, other in itertools.combinations(MODES, 2):
        assert not torch.allclose(scores[one], scores[other], rtol=1e-2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("training", [True, False])
def test_scoring_leaves_the_model_as_it_was(mode, training):
    model = Normed().train(training)
    model.bn2.train(not training)
    model.conv1.weight.requires_grad = False
    model.bn1.momentum = None
    state = copy.deepcopy(model.state_dict())
    modes = {name: module.training for name, module in model.named_modules()}
    about = subject(model, data(), bn=mode)
    torch.manual_seed(5)
    random = torch.get_rng_state()
    Snip()(about, about.network.weights())
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert modes == {name: module.training for name, module in model.named_modules()}
    assert all(parameter.grad is None for parameter in model.parameters())
    assert (model.bn1.momentum, model.bn2.momentum) == (None, 0.1)
    assert not model.conv1.weight.requires_grad
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize("mode", MODES)
def test_a_failing_forward_pass_leaves_the_model_as_it_was(mode):
    model = Normed().train()
    model.bn1.eval()
    state = copy.deepcopy(model.state_dict())
    about = subject(model, (torch.rand(2, 2, 9, 9, dtype=torch.float64), torch.tensor([0, 1])), bn=mode)
    with pytest.raises(InputMismatchError, match="score batch"):
        about.slopes(about.network.weights())
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training
    assert model.bn2.training
    assert not model.bn1.training
    assert (model.bn1.momentum, model.bn2.momentum) == (0.1, 0.1)


def test_dropout_does_not_act_while_scoring():
    model = Normed().train()
    about = subject(model, data())
    first, second = (Snip()(about, about.network.weights()) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_batch_in_parts_weighs_each_sample_alike():
    x, targets = data()
    whole = subject(Normed(), (x, targets))
    parts = subject(Normed(), [(x[:1], targets[:1]), (x[1:], targets[1:])])
    for name, slope in whole.slopes(whole.network.weights()).items():
        assert torch.allclose(parts.slopes(parts.network.weights())[name], slope, rtol=1e-10)


def test_slopes_are_taken_at_the_weights_given():
    about = subject(Normed(), data())
    weights = about.network.weights()
    pruned = {**weights, "conv2.weight": torch.zeros_like(weights["conv2.weight"])}
    slopes = about.slopes(pruned)
    assert torch.count_nonzero(slopes["conv1.weight"]) == 0
    assert torch.count_nonzero(slopes["conv2.weight"]) > 0
    assert torch.count_nonzero(Snip()(about, pruned)["conv2.weight"]) == 0


def test_a_weight_under_two_names_is_scored_in_both_places():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh(), nn.Linear(3, 3, bias=False)).double()
    model[2].weight = model[0].weight
    batch = (torch.rand(4, 3, generator=generator(), dtype=torch.float64), torch.tensor([0, 1, 2, 0]))
    about = subject(model, batch, x=torch.zeros(1, 3))
    found = about.slopes(about.network.weights())
    assert list(found) == ["0.weight"]
    F.cross_entropy(model(batch[0]), batch[1]).backward()
    assert torch.allclose(found["0.weight"], model[0].weight.grad, rtol=1e-12)


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_snip_works_where_the_caller_has_switched_gradients_off(guard):
    model, batch = Normed(), data()
    about = subject(model, batch)
    expected = Snip()(about, about.network.weights())
    with guard():
        about = subject(model, batch)
        found = Snip()(about, about.network.weights())
    assert all(torch.allclose(found[name], expected[name]) for name in expected)


def test_a_loss_that_is_no_number_is_an_error():
    x, targets = data()
    about = subject(Normed(), (x * math.inf, targets))
    with pytest.raises(NonFiniteError, match="the loss on the score batch is nan"):
        about.slopes(about.network.weights())


def test_data_missing_and_unknown_batchnorm_modes_are_errors_that_say_the_way_out():
    about = subject(Normed())
    with pytest.raises(ArgumentError, match=r"pass batch=\(inputs, targets\)"):
        Snip()(about, about.network.weights())
    with pytest.raises(ArgumentError, match=r"bn is 'evil'; choose one of eval-identity, frozen"):
        batch_norm_mode("evil")
    assert all(batch_norm_mode(mode) == mode for mode in MODES)


# path flow


def magnitudes(about: Subject) -> dict[str, Tensor]:
    return {name: weight.abs().double() for name, weight in about.network.weights().items()}


def test_path_flow_is_the_share_of_all_weighted_paths_through_a_weight():
    """Every path of a 3-4-3-2 network, one by one."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    about = subject(model, x=torch.zeros(1, 3))
    first, second, third = magnitudes(about).values()
    shares = [torch.zeros_like(weight) for weight in (first, second, third)]
    total = 0.0
    for i, j, k, m in itertools.product(range(3), range(4), range(3), range(2)):
        path = (first[j, i] * second[k, j] * third[m, k]).item()
        total += path
        shares[0][j, i] += path
        shares[1][k, j] += path
        shares[2][m, k] += path
    found = PathFlow()(about, about.network.weights())
    for score, share in zip(found.values(), shares, strict=True):
        assert torch.allclose(score.double(), share / total, rtol=1e-12)


class Residual(nn.Module):
    """conv, block with a projection, average pooling, head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 3, 3, padding=1)
        self.a = nn.Conv2d(3, 4, 3, stride=2, padding=1, groups=1)
        self.bn = nn.BatchNorm2d(4)
        self.b = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.beside = nn.Conv2d(3, 4, 1, stride=2)
        self.pool = nn.AvgPool2d(2, count_include_pad=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = self.b(F.relu(self.bn(self.a(x)))) + self.beside(x)
        return self.head(self.pool(x).flatten(1))


def linearised(weights: dict[str, Tensor]) -> float:
    """R of `Residual`, written down a second time."""
    x = torch.ones(1, 2, 4, 4, dtype=torch.float64)
    x = F.conv2d(x, weights["stem.weight"], padding=1)
    branch = F.conv2d(F.conv2d(x, weights["a.weight"], stride=2, padding=1), weights["b.weight"], padding=1, groups=2)
    x = branch + F.conv2d(x, weights["beside.weight"], stride=2)
    return F.linear(F.avg_pool2d(x, 2).flatten(1), weights["head.weight"]).sum().item()


def test_path_flow_of_a_residual_network_is_what_vanishes_with_the_weight():
    """R is linear in each single weight, so its share is what R loses without it."""
    about = subject(Residual())
    weights = magnitudes(about)
    whole = linearised(weights)
    found = PathFlow()(about, about.network.weights())
    for name, weight in weights.items():
        for i in range(weight.numel()):
            without = weight.clone()
            without.view(-1)[i] = 0
            lost = (whole - linearised({**weights, name: without})) / whole
            assert found[name].view(-1)[i].item() == pytest.approx(lost, rel=1e-9, abs=1e-13)


class Pooled(nn.Module):
    """One branch pools as the test says, the other does not: so it matters how the pool counts."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 3, 1, stride=2)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.a(x)) + self.b(x)


@pytest.mark.parametrize("pool", [nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2), nn.MaxPool2d(2)])
def test_path_flow_pools_as_the_model_pools(pool):
    about = subject(Pooled(pool))
    weights = {name: weight.requires_grad_() for name, weight in magnitudes(about).items()}
    ones = torch.ones(1, 2, 4, 4, dtype=torch.float64)
    pooled = pool(F.conv2d(ones, weights["a.weight"], padding=1))
    total = (pooled + F.conv2d(ones, weights["b.weight"], stride=2)).sum()
    slopes = torch.autograd.grad(total, list(weights.values()))
    found = PathFlow()(about, about.network.weights())
    for (name, weight), slope in zip(weights.items(), slopes, strict=True):
        assert torch.allclose(found[name], weight.detach() * slope / total.detach(), rtol=1e-12), name


def test_path_flow_is_conserved_along_every_cut_of_a_residual_network():
    about = subject(Residual())
    totals = {name: score.double().sum().item() for name, score in PathFlow()(about, about.network.weights()).items()}
    cuts = [("stem",), ("a", "beside"), ("b", "beside"), ("head",)]
    for cut in cuts:
        assert sum(totals[f"{name}.weight"] for name in cut) == pytest.approx(1, rel=1e-12)


def test_path_flow_is_conserved_and_finite_in_a_chain_of_a_thousand_layers():
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(1000)))
    about = subject(model, x=torch.zeros(1, 8))
    for scale in (1.0, 1e-30, 1e30):
        scores = PathFlow()(about, {name: weight * scale for name, weight in about.network.weights().items()})
        for score in scores.values():
            assert torch.isfinite(score).all()
            assert score.double().sum().item() == pytest.approx(1, rel=1e-12)


def test_path_flow_does_not_know_signs_biases_norms_or_modes():
    model = Residual()
    about = subject(model)
    expected = PathFlow()(about, about.network.weights())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-1) if parameter.ndim > 1 else parameter.fill_(7.0)
        model.bn.running_mean.fill_(3.0)
        model.bn.running_var.fill_(9.0)
    again = subject(model.train())
    found = PathFlow()(again, again.network.weights())
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_path_flow_through_pruned_weights_is_zero_and_the_rest_carries_all():
    about = subject(Residual())
    weights = about.network.weights()
    weights["beside.weight"] = torch.zeros_like(weights["beside.weight"])
    weights["b.weight"] = weights["b.weight"] * torch.tensor([1.0, 0, 0, 0]).view(4, 1, 1, 1)
    found = PathFlow()(about, weights)
    assert torch.count_nonzero(found["beside.weight"]) == torch.count_nonzero(found["b.weight"][1:]) == 0
    assert found["b.weight"].sum().item() == pytest.approx(1, rel=1e-12)


def test_path_flow_of_a_network_without_paths_is_zero():
    about = subject(Residual())
    found = PathFlow()(about, {name: torch.zeros_like(weight) for name, weight in about.network.weights().items()})
    assert all(torch.count_nonzero(score) == 0 for score in found.values())


# magnitude and random


def test_magnitude_is_the_absolute_weight():
    about = subject(Residual())
    weights = about.network.weights()
    found = Magnitude()(about, weights)
    assert all(torch.equal(found[name], weight.abs()) for name, weight in weights.items())


def test_random_draws_depend_on_the_seed_alone():
    network = Network(Residual(), torch.zeros(1, 2, 4, 4))
    draws = []
    for seed, outside in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(outside)
        before = torch.get_rng_state()
        draws.append(Random()(Subject(network, generator(seed)), network.weights()))
        assert torch.equal(before, torch.get_rng_state())
    same, again, other = ({n: d.clone() for n, d in draw.items()} for draw in draws)
    assert all(torch.equal(same[name], again[name]) for name in same)
    assert all(not torch.equal(same[name], other[name]) for name in same)
    assert same["b.weight"].unique().numel() == same["b.weight"].numel()
    assert not torch.equal(same["a.weight"].flatten()[:36], same["stem.weight"].flatten()[:36])


def test_random_draws_are_uniform():
    network = Network(nn.Linear(200, 200), torch.zeros(1, 200))
    draws = Random()(Subject(network, generator()), network.weights())["weight"].flatten().sort().values
    uniform = (torch.arange(40_000, dtype=torch.float64) + 0.5) / 40_000
    assert (draws - uniform).abs().max() < 0.0136  # Kolmogorov-Smirnov, 1e-6


@pytest.mark.parametrize("name", SCORES.names())
class TestEveryScore:
    def test_scores_every_weight_finite_and_detached(self, name):
        about = subject(Normed(), data())
        weights = about.network.weights()
        found = SCORES[name]()(about, weights)
        assert list(found) == list(weights)
        for each, score in found.items():
            assert score.shape == weights[each].shape
            assert not score.requires_grad
            assert torch.isfinite(score).all()

    def test_leaves_weights_and_model_alone(self, name):
        model = Normed().train()
        state = copy.deepcopy(model.state_dict())
        about = subject(model, data())
        weights = about.network.weights()
        copies = {each: weight.clone() for each, weight in weights.items()}
        SCORES[name]()(about, weights)
        assert all(torch.equal(copies[each], weights[each]) for each in weights)
        assert all(torch.equal(state[each], tensor) for each, tensor in model.state_dict().items())
        assert all(module.training for module in model.modules())


# batches


def test_a_pair_is_one_part_and_an_iterable_is_several():
    x, targets = data()
    assert len(Batch.of((x, targets)).parts) == len(Batch.of([x, targets]).parts) == 1
    several = Batch.of((x[i : i + 2], targets[i : i + 2]) for i in (0, 2, 4))
    assert len(several.parts) == 3
    assert several.samples == 6
    assert torch.equal(torch.cat([part[0] for part in several.parts]), x)


def test_the_loss_is_cross_entropy_unless_given():
    def mine(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.sum()

    assert Batch.of(data()).loss is F.cross_entropy
    assert Batch.of(data(), mine).loss is mine


@pytest.mark.parametrize("batch", [3, None, [], [torch.zeros(2, 2)], "ab", [(torch.zeros(1), torch.zeros(1), 3)]])
def test_something_else_than_pairs_is_refused(batch):
    with pytest.raises(ArgumentError, match="batch"):
        Batch.of(batch)


def test_inputs_and_targets_of_different_lengths_are_refused():
    with pytest.raises(ArgumentError, match="6 inputs and 5 targets"):
        Batch.of((data()[0], data()[1][:5]))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 2), nn.Linear(4, 2)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.a(a) + self.b(b)


@pytest.mark.parametrize("kind", ["tuple", "dict"])
def test_one_pair_whose_inputs_are_a_tuple_or_a_dict_is_scored(kind):
    a, b = torch.rand(2, 3, generator=generator()), torch.rand(2, 4, generator=generator())
    targets = torch.tensor([0, 1])
    model = TwoInputs()
    inputs = (a, b) if kind == "tuple" else {"a": a, "b": b}
    about = Subject(Network(model, inputs), generator(), Batch.of((inputs, targets)))
    found = about.slopes(about.network.weights())
    F.cross_entropy(model(a, b), targets).backward()
    assert torch.allclose(found["a.weight"], model.a.weight.grad)
    assert torch.allclose(found["b.weight"], model.b.weight.grad)
