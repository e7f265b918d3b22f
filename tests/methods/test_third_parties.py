"""Methods and scores of others: what they give is looked at, and what is wrong with it is said."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.budgets import BUDGETS
from nodepath.errors import ArgumentError, BudgetError, MaskMismatchError, NodepathError
from nodepath.methods import METHODS, Choice, Problem
from nodepath.scores import SCORES, Subject

X = torch.zeros(1, 28)


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(28, 32), nn.ReLU(), nn.Linear(32, 4))


@pytest.fixture(autouse=True)
def tables() -> Iterator[None]:
    """What a test registers is gone after it."""
    held = [(table, dict(table._entries)) for table in (METHODS, SCORES, BUDGETS)]
    yield
    for table, entries in held:
        table._entries = entries  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Scoring:
    """A score that is computed by a function of the weights."""

    needs_batch: ClassVar[bool] = False

    give: Callable[[Mapping[str, Tensor]], Any] = lambda weights: {n: w.abs() for n, w in weights.items()}

    def __call__(self, subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        made: dict[str, Tensor] = self.give(weights)
        return made


def each(change: Callable[[Tensor], Any]) -> Callable[[Mapping[str, Tensor]], Any]:
    return lambda weights: {name: change(weight.abs()) for name, weight in weights.items()}


WRONG_SCORES = {
    "an absent layer": (lambda weights: {"0.weight": weights["0.weight"]}, "gave no scores for '2.weight'"),
    "vectors": (each(torch.flatten), r"gave scores of shape \(896,\) for '0.weight'; .* \(32, 28\)"),
    "arrays": (each(Tensor.numpy), "gave no real numbers for '0.weight'"),
    "complex numbers": (each(lambda score: score + 1j), "gave no real numbers for '0.weight'"),
    "a number": (lambda weights: 3, "gave a int"),
}


@pytest.mark.parametrize("kind", WRONG_SCORES)
class TestWrongScoresAreRefused:
    def test_from_a_registered_score(self, model, kind):
        give, message = WRONG_SCORES[kind]
        SCORES.register("mine")(Scoring)
        with pytest.raises(MaskMismatchError, match=f"score Scoring {message}"):
            nodepath.prune(model, X, "mine", sparsity=0.5, give=give)

    def test_from_a_score_that_ranks_cells(self, model, kind):
        give, message = WRONG_SCORES[kind]
        with pytest.raises(MaskMismatchError, match=f"score Scoring {message}"):
            nodepath.prune(model, X, "npb", sparsity=0.5, cells=Scoring(give))

    def test_beside_a_method_s_masks(self, model, kind):
        give, message = WRONG_SCORES[kind]

        def method(problem: Problem) -> Choice:
            return Choice(first_of_each(problem), give(problem.weights))

        with pytest.raises(MaskMismatchError, match=f"method 'function' {message}"):
            nodepath.prune(model, X, method, sparsity=0.5)


@pytest.mark.parametrize("method", ["mine", "npb"])
def test_scores_with_a_graph_are_used_without_it(model, method):
    SCORES.register("mine")(Scoring)
    own = dict(model.named_parameters())
    name = "give" if method == "mine" else "cells"
    with_graph: Any = lambda weights: {name: own[name].abs() for name in weights}  # noqa: E731
    options = {name: with_graph if method == "mine" else Scoring(with_graph)}
    plain = {} if method == "mine" else {"cells": Scoring()}
    found = nodepath.prune(model, X, method, sparsity=0.5, **options)
    assert found == nodepath.prune(model, X, method, sparsity=0.5, **plain)


def first_of_each(problem: Problem) -> dict[str, Tensor]:
    """The same share of each layer, from its first weight on."""
    masks = {}
    for name in problem.included:
        masks[name] = torch.zeros(problem.weights[name].shape, dtype=torch.bool)
        masks[name].view(-1)[: problem.keep * masks[name].numel() // problem.size] = True
    return masks


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Tensor.float, r"torch.float32 of shape \(32, 28\); it must be torch.bool"),
        (Tensor.flatten, r"torch.bool of shape \(896,\); .* shape \(32, 28\)"),
        (Tensor.tolist, "list; it must be"),
    ],
)
def test_masks_of_another_kind_are_refused(model, change, message):
    def method(problem: Problem) -> Choice:
        return Choice({name: change(mask) for name, mask in first_of_each(problem).items()})

    with pytest.raises(MaskMismatchError, match=f"method 'function' gave a mask for '0.weight' that is {message}"):
        nodepath.prune(model, X, method, sparsity=0.5)


def test_masks_of_other_layers_are_refused_with_the_first(model):
    def method(problem: Problem) -> Choice:
        return Choice({"0.weight": torch.ones(32, 28, dtype=torch.bool)})

    with pytest.raises(MaskMismatchError, match=r"'2\.weight' differs"):
        nodepath.prune(model, X, method, sparsity=0.5)


def test_masks_that_keep_another_number_are_refused(model):
    def method(problem: Problem) -> Choice:
        return Choice({name: torch.ones_like(mask) for name, mask in first_of_each(problem).items()})

    with pytest.raises(BudgetError, match="keeps 1024 weights where 512 were asked"):
        nodepath.prune(model, X, method, sparsity=0.5)


class Plain:
    """Neither a dataclass nor a function."""

    def __init__(self, much: int = 1) -> None:
        self.much = much

    def __call__(self, problem: Problem) -> Choice:
        return Choice(first_of_each(problem))


def factory(much: int = 1) -> Plain:
    return Plain(much)


def demanding(much: int) -> Plain:
    return Plain(much)


def lenient(**options: Any) -> Plain:
    return Plain(**options)


class TestOptions:
    @pytest.mark.parametrize("entry", [Plain, factory, demanding])
    def test_that_are_unknown_are_refused_with_those_known(self, model, entry):
        METHODS.register("mine")(entry)
        with pytest.raises(ArgumentError, match="method 'mine' has no option 'many'; it has much"):
            nodepath.prune(model, X, "mine", sparsity=0.5, many=3)

    @pytest.mark.parametrize("entry", [Plain, factory, demanding, lenient])
    def test_that_are_known_are_passed_on(self, model, entry):
        METHODS.register("mine")(entry)
        assert nodepath.prune(model, X, "mine", sparsity=0.5, much=2).kept == 512

    def test_that_have_no_default_are_asked_for(self, model):
        METHODS.register("mine")(demanding)
        with pytest.raises(ArgumentError, match="method 'mine' needs option 'much', which has no default; it has much"):
            nodepath.prune(model, X, "mine", sparsity=0.5)

    def test_may_be_called_name(self):
        with pytest.raises(NodepathError, match="method 'snip' has no option 'name'"):
            nodepath.methods.create("snip", name="a")


@pytest.mark.parametrize("table", [METHODS, SCORES, BUDGETS])
@pytest.mark.parametrize("name", ["npb", "snip", "erk"])
def test_a_name_is_taken_in_all_tables_of_methods(table, name):
    with pytest.raises(ArgumentError, match=f"{table.kind} '{name}' (is registered twice|has the name of a)"):
        table.register(name)(Plain)
