"""Inversion: what the method would prune, exactly as many as asked."""

import json
import warnings
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import nodepath
from nodepath import controls
from nodepath.errors import ArgumentError, CollapseWarning, UnknownNameError
from nodepath.methods import Choice, Problem, create

X = torch.zeros(1, 3, 6, 6)
SIZE = 27 * 6 + 54 * 4 + 12


def build() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Sequential(
            *(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)),
        )


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 3, 6, 6, generator=generator), torch.arange(12) % 3


def pruned(method, keep: int, model: nn.Module | None = None, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return nodepath.prune(model or build(), X, method, sparsity=1 - keep / SIZE, on_collapse="warn", **arguments)


@pytest.mark.parametrize("keep", [1, 20, 195, 389])
@pytest.mark.parametrize("method", ["magnitude", "lamp", "snip"])
def test_keeps_the_weights_of_the_lowest_scores(method, keep, batch):
    inverted = pruned(controls.invert(method), keep, batch=batch)
    rest = pruned(method, SIZE - keep, batch=batch)
    assert inverted.kept == keep
    assert all(torch.equal(inverted[name], ~rest[name]) for name in rest)


def test_of_negated_scores_is_the_ranking_of_the_scores():
    inverted = pruned(controls.invert("magnitude"), 100)
    model = build()
    assert inverted == pruned(None, 100, scores={name: -model.get_parameter(name).abs() for name in inverted})


def test_ties_go_to_the_later_position():
    model = build()
    with torch.no_grad():
        for name, _ in list(model.named_parameters())[::2]:
            model.get_parameter(name).fill_(0.5)
    inverted = pruned(controls.invert("magnitude"), 12 + 3, model)
    assert inverted["6.weight"].all()
    assert inverted["2.weight"].flatten().nonzero().flatten().tolist() == [213, 214, 215]


@pytest.mark.parametrize("scope", ["layerwise", "erk"])
def test_layers_keep_what_the_scope_gives_them(scope):
    kept = {name: int(mask.sum()) for name, mask in pruned("magnitude", 117, scope=scope).items()}
    inverted = pruned(controls.invert("magnitude"), 117, scope=scope)
    assert {name: int(mask.sum()) for name, mask in inverted.items()} == kept


def test_layers_keep_the_counts_that_the_user_gives_them():
    counts = {"0.weight": 30, "2.weight": 200, "6.weight": 12}
    inverted = nodepath.prune(build(), X, controls.invert("magnitude"), layer_counts=counts)
    assert {name: int(mask.sum()) for name, mask in inverted.items()} == counts
    weight = build().get_parameter("0.weight").abs().flatten()
    assert torch.equal(inverted["0.weight"].flatten(), weight <= weight.sort().values[29])


def test_layers_keep_the_methods_own_budget():
    kept = {name: int(mask.sum()) for name, mask in pruned("dpai", 100, steps=2).items()}
    inverted = pruned(controls.invert("dpai", steps=2), 100)
    assert {name: int(mask.sum()) for name, mask in inverted.items()} == kept


def test_of_an_iterative_method_keeps_what_it_prunes_first():
    inverted = pruned(controls.invert("synflow", iterations=4), 40)
    assert all(torch.equal(inverted[n], ~m) for n, m in pruned("synflow", SIZE - 40, iterations=4).items())
    assert inverted.kept == 40


def test_keeps_everything_at_sparsity_0():
    assert pruned(controls.invert("synflow", iterations=3), SIZE).kept == SIZE


def test_emptied_layers_get_the_weight_that_ranks_lowest():
    model = build()
    with torch.no_grad():
        model.get_parameter("0.weight").add_(5)
    masks = nodepath.prune(model, X, controls.invert("magnitude"), sparsity=0.5, on_collapse="keep-one")
    chosen = masks["0.weight"]
    assert int(chosen.sum()) == 1
    assert model.get_parameter("0.weight").abs()[chosen] == model.get_parameter("0.weight").abs().min()


def test_metadata_names_the_method_and_says_that_it_is_inverted(batch):
    metadata = pruned(controls.invert("synflow", iterations=3), 100).metadata
    assert (metadata["method"], metadata["options"], metadata["control"]) == (
        "synflow",
        {"iterations": 3},
        {"invert": True},
    )
    assert json.loads(json.dumps(metadata)) == metadata
    assert "control" not in pruned("magnitude", 100).metadata
    assert pruned(controls.invert("snip"), 100, batch=batch).metadata["protocol"]["samples"] == 12


def test_takes_a_method_object_too():
    assert pruned(controls.invert(create("magnitude")), 70) == pruned(controls.invert("magnitude"), 70)


def test_needs_the_data_that_the_method_needs():
    with pytest.raises(ArgumentError, match="batch="):
        nodepath.prune(build(), X, controls.invert("snip"), sparsity=0.5)


@pytest.mark.parametrize("method", ["erk", "balanced", "random-uniform"])
def test_of_random_cells_is_refused_at_once(method):
    with pytest.raises(ArgumentError, match=f"'{method}' ranks no weights"):
        controls.invert(method)


@dataclass(frozen=True)
class WithoutScores:
    """The first weights in order."""

    def __call__(self, problem: Problem) -> Choice:
        masks, left = {}, problem.keep
        for layer in problem.layers:
            number = min(left, layer.size)
            masks[layer.name] = (torch.arange(layer.size) < number).reshape(layer.shape)
            left -= number
        return Choice(masks)


def test_of_a_method_without_scores_is_refused():
    with pytest.raises(ArgumentError, match="'WithoutScores' ranks no weights"):
        nodepath.prune(build(), X, controls.invert(WithoutScores()), sparsity=0.5)


def test_of_an_inversion_is_refused():
    with pytest.raises(ArgumentError, match="inverted already"):
        controls.invert(controls.invert("magnitude"))


def test_of_no_method_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'snip'"):
        controls.invert("snipp")
    with pytest.raises(ArgumentError, match="'no_such_option'"):
        controls.invert("synflow", no_such_option=1)


@pytest.mark.filterwarnings("ignore::nodepath.errors.BudgetWarning")
@pytest.mark.parametrize("method", ["npb", "npb-even"])
def test_a_method_that_ranks_nothing_is_named_also_if_it_has_a_budget_of_its_own(method):
    with pytest.raises(ArgumentError, match=f"method '{method}' ranks no weights"):
        pruned(controls.invert(method), 195)
