"""FORCE against its algorithm written down a second time; what comes back, and what never does in iterative SNIP."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError
from nodepath.methods import Method, Problem, create
from nodepath.methods.arguments import seeded
from nodepath.methods.iterate import iterate, without_pruned
from nodepath.paths import Network
from nodepath.scores import Batch, Subject


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            *(nn.Conv2d(2, 6, 3), nn.Tanh(), nn.Conv2d(6, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 4))
        ).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(8, 2, 6, 6, generator=generator, dtype=torch.float64), torch.arange(8) % 4


X = torch.zeros(1, 2, 6, 6)


def by_hand(model: nn.Module, batch: tuple[Tensor, Tensor], keeps: list[int], *, revive: bool) -> list[Tensor]:
    """The mask after each step, flat."""
    weights = {n: p.detach() for n, p in model.named_parameters() if p.ndim > 1}
    mask, masks = torch.ones(sum(w.numel() for w in weights.values()), dtype=torch.bool), []
    theta = torch.cat([w.flatten() for w in weights.values()])
    for keep in keeps:
        pieces = (theta * mask).split([w.numel() for w in weights.values()])
        leaves = {n: p.view(w.shape).requires_grad_() for (n, w), p in zip(weights.items(), pieces, strict=True)}
        loss = F.cross_entropy(torch.func.functional_call(model, leaves, (batch[0],)), batch[1])
        slope = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(leaves.values()))])
        score = (theta * slope).abs()
        if not revive:
            score[~mask] = -1
        mask = torch.zeros_like(mask)
        mask[score.argsort(descending=True)[:keep]] = True
        masks.append(mask)
    return masks


def flat(masks: dict[str, Tensor] | nodepath.MaskSet, model: nn.Module) -> Tensor:
    return torch.cat([masks[n].flatten() for n, p in model.named_parameters() if p.ndim > 1])


def exponential(size: int, keep: int, steps: int) -> list[int]:
    return [round(size * (keep / size) ** (step / steps)) for step in range(1, steps)] + [keep]


@pytest.mark.parametrize(("name", "revive"), [("force", True), ("snip-iterative", False)])
@pytest.mark.parametrize("steps", [1, 5, 20])
def test_is_its_algorithm(model, batch, name, revive, steps):
    masks = nodepath.prune(model, X, name, sparsity=0.9, batch=batch, iterations=steps, on_collapse="warn")
    size = sum(p.numel() for p in model.parameters() if p.ndim > 1)
    keeps = exponential(size, round(size * 0.1), steps)
    assert torch.equal(flat(masks, model), by_hand(model, batch, keeps, revive=revive)[-1])


def masks_by_step(model: nn.Module, batch: tuple[Tensor, Tensor], method: Method, monkeypatch) -> list[Tensor]:
    """Which weights are not zero as each step looks at them."""
    network = Network(model, X)
    subject = Subject(network, seeded(0), Batch.of(batch))
    names = tuple(network.layers)
    problem = Problem(network, subject, network.weights(), names, round(0.05 * network.prunable))
    seen, slopes = [], Subject.slopes

    def watched(self, weights):
        seen.append(torch.cat([weights[n].flatten() != 0 for n in names]))
        return slopes(self, weights)

    monkeypatch.setattr(Subject, "slopes", watched)
    last = method(problem).masks
    return [*seen, torch.cat([last[n].flatten() for n in names])]


def test_weights_come_back_in_force(model, batch, monkeypatch):
    masks = masks_by_step(model, batch, create("force", iterations=20), monkeypatch)
    came_back = [int((after & ~before).sum()) for before, after in pairwise(masks)]
    assert len(masks) == 21
    assert sum(came_back) > 10
    assert all(int(m.sum()) >= int(n.sum()) for m, n in pairwise(masks))


@pytest.mark.parametrize("schedule", ["exponential", "snip-it"])
def test_weights_never_come_back_in_iterative_snip(model, batch, monkeypatch, schedule):
    network = Network(model, X)
    masks = masks_by_step(model, batch, create("snip-iterative", iterations=12, schedule=schedule), monkeypatch)
    for before, after in pairwise(masks):
        assert not bool((after & ~before).any())
    assert int(masks[-1].sum()) == round(0.05 * network.prunable)


def test_one_step_is_snip(model, batch):
    snip = nodepath.prune(model, X, "snip", sparsity=0.8, batch=batch)
    for name in ("force", "snip-iterative"):
        assert nodepath.prune(model, X, name, iterations=1, sparsity=0.8, batch=batch) == snip


def test_the_schedule_of_snip_it_halves_what_is_left_to_do(model, batch):
    """Sparsity kappa - (kappa - 0.5) * 0.5**i for i = 0 .. 4, then kappa."""
    size, kappa = sum(p.numel() for p in model.parameters() if p.ndim > 1), 0.9
    keep = round(size * (1 - kappa))
    keeps = [round(size * (1 - (0.9 - 0.4 * 0.5**i))) for i in range(5)] + [keep]
    options = {"schedule": "snip-it", "iterations": 6}
    masks = nodepath.prune(model, X, "snip-iterative", sparsity=kappa, batch=batch, on_collapse="warn", **options)
    assert torch.equal(flat(masks, model), by_hand(model, batch, keeps, revive=False)[-1])


def test_the_schedule_of_snip_it_is_one_step_where_less_than_half_is_pruned(model, batch):
    masks = nodepath.prune(model, X, "snip-iterative", schedule="snip-it", sparsity=0.3, batch=batch)
    assert masks == nodepath.prune(model, X, "snip", sparsity=0.3, batch=batch)


@pytest.mark.parametrize("name", ["force", "snip-iterative"])
def test_layers_follow_the_schedule_towards_counts_of_their_own(model, batch, name):
    counts = {"0.weight": 20, "2.weight": 300, "5.weight": 9}
    masks = nodepath.prune(model, X, name, layer_counts=counts, batch=batch, iterations=4)
    assert {n: int(mask.sum()) for n, mask in masks.items()} == counts
    layerwise = nodepath.prune(model, X, name, scope="layerwise", sparsity=0.5, batch=batch, iterations=4)
    assert {n: int(mask.sum()) for n, mask in layerwise.items()} == {"0.weight": 54, "2.weight": 216, "5.weight": 64}


@pytest.mark.parametrize("name", ["force", "snip-iterative"])
def test_what_is_excluded_stays_dense_while_slopes_are_taken(model, batch, name):
    masks = nodepath.prune(model, X, name, exclude="5.*", sparsity=0.9, batch=batch, iterations=3, on_collapse="warn")
    assert set(masks) == {"0.weight", "2.weight"}
    assert masks.kept == round(0.1 * 540)


def test_in_iterative_snip_the_kept_rank_above_the_pruned(model, batch):
    """Which decides who pays for what an emptied layer gets back."""
    ranking = flat(create("snip-iterative", iterations=5)(problem_of(model, batch)).scores, model)
    *_, mask = by_hand(model, batch, exponential(problem_of(model, batch).size, 50, 5), revive=False)
    assert ranking[mask].min() > ranking[~mask].max()


def test_an_emptied_layer_ranks_as_in_the_step_that_emptied_it(model, batch):
    """So that it gets back the best of those that lasted longest, whatever scores said before or say later."""
    problem, seen = problem_of(model, batch), []
    generator = torch.Generator().manual_seed(0)

    def rescore(step, weights, masks):
        scores = {name: torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}
        scores["5.weight"] -= step  # at first like the others, then the least of all
        seen.append((masks, without_pruned(scores, masks)))
        return seen[-1][1]

    choice = iterate(problem, rescore, 5)
    assert not choice.masks["5.weight"].any()
    left, scores = [(masks["5.weight"], scores["5.weight"]) for masks, scores in seen if masks["5.weight"].any()][-1]
    assert 0 < int(left.sum()) < left.numel()
    assert torch.equal(choice.scores["5.weight"], scores)
    assert not torch.equal(choice.scores["0.weight"], seen[0][1]["0.weight"])
    assert torch.equal(choice.scores["0.weight"], seen[-1][1]["0.weight"])


def problem_of(model, batch) -> Problem:
    network = Network(model, X)
    subject = Subject(network, seeded(0), Batch.of(batch))
    return Problem(network, subject, network.weights(), tuple(network.layers), 50)


@pytest.mark.parametrize("name", ["force", "snip-iterative"])
@pytest.mark.parametrize("iterations", [0, -1, 1.5, True, "many"])
def test_iterations_that_are_no_whole_number_above_zero_are_refused(name, iterations):
    with pytest.raises(ArgumentError, match=rf"iterations is .*; {name} needs a whole number >= 1 \(paper: 60\)"):
        create(name, iterations=iterations)


def test_an_unknown_schedule_is_refused_with_the_known_ones():
    with pytest.raises(ArgumentError, match="schedule is 'linear'; choose one of exponential, snip-it"):
        create("snip-iterative", schedule="linear")
