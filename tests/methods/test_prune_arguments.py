from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError, BudgetError, MaskMismatchError, NonFiniteError, UnknownNameError
from nodepath.methods import Choice, Problem

SIZES = {"0.weight": 6 * 10, "2.weight": 10 * 8, "4.weight": 8 * 4}


@pytest.fixture
def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 4))


@pytest.fixture
def x() -> Tensor:
    return torch.zeros(1, 6)


@pytest.fixture
def scores(model: nn.Module) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {n: torch.rand(p.shape, generator=generator) for n, p in model.named_parameters() if p.ndim == 2}


def counts(masks: nodepath.MaskSet) -> dict[str, int]:
    return {name: int(mask.sum()) for name, mask in masks.items()}


class TestScores:
    def test_the_largest_of_the_users_own_are_kept(self, model, x, scores):
        masks = nodepath.prune(model, x, scores=scores, sparsity=0.5)
        flat = torch.cat([score.flatten() for score in scores.values()])
        border = flat.sort(descending=True).values[86 - 1]
        assert masks.kept == 86
        assert masks == nodepath.MaskSet({name: score >= border for name, score in scores.items()})
        assert masks.metadata["method"] == "scores"

    def test_may_be_ranked_layer_by_layer(self, model, x, scores):
        masks = nodepath.prune(model, x, scores=scores, sparsity=0.5, scope="layerwise")
        assert counts(masks) == {"0.weight": 30, "2.weight": 40, "4.weight": 16}
        for name, score in scores.items():
            assert score[masks[name]].min() > score[~masks[name]].max()

    def test_may_hold_gradients_and_are_left_alone(self, model, x, scores):
        kept = {name: score.clone() for name, score in scores.items()}
        wanted = {name: score.clone().requires_grad_() for name, score in scores.items()}
        assert nodepath.prune(model, x, scores=wanted, sparsity=0.5) == nodepath.prune(
            model, x, scores=scores, sparsity=0.5
        )
        assert all(torch.equal(scores[name], kept[name]) for name in kept)

    def test_are_needed_for_included_layers_only(self, model, x, scores):
        del scores["2.weight"]
        assert set(nodepath.prune(model, x, scores=scores, sparsity=0.5, exclude="2.*")) == {"0.weight", "4.weight"}

    def test_that_lack_a_layer_are_refused_by_name(self, model, x, scores):
        del scores["2.weight"]
        with pytest.raises(MaskMismatchError, match=r"'2\.weight'"):
            nodepath.prune(model, x, scores=scores, sparsity=0.5)

    def test_of_another_shape_are_refused_by_name_and_shapes(self, model, x, scores):
        scores["2.weight"] = scores["2.weight"].T
        with pytest.raises(MaskMismatchError, match=r"'2\.weight'.*\(10, 8\).*\(8, 10\)"):
            nodepath.prune(model, x, scores=scores, sparsity=0.5)

    def test_for_no_weight_of_the_model_are_refused_by_name(self, model, x, scores):
        with pytest.raises(MaskMismatchError, match=r"'3\.weight'"):
            nodepath.prune(model, x, scores={**scores, "3.weight": torch.ones(1)}, sparsity=0.5)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_that_are_not_finite_are_refused_by_name(self, model, x, scores, value):
        scores["2.weight"][1, 1] = value
        with pytest.raises(NonFiniteError, match=r"'2\.weight'"):
            nodepath.prune(model, x, scores=scores, sparsity=0.5)

    @pytest.mark.parametrize("arguments", [{}, {"method": "random", "scores": {}}])
    def test_or_a_method_but_not_both_or_none(self, model, x, arguments):
        with pytest.raises(ArgumentError, match="either method="):
            nodepath.prune(model, x, sparsity=0.5, **arguments)

    def test_take_no_options(self, model, x, scores):
        with pytest.raises(ArgumentError, match="'alpha'"):
            nodepath.prune(model, x, scores=scores, sparsity=0.5, alpha=1)


class TestSparsity:
    @pytest.mark.parametrize("sparsity", [1.0, 1.5, -0.01, float("nan"), float("inf"), 99])
    def test_outside_of_zero_to_one_is_refused_with_its_value(self, model, x, sparsity):
        with pytest.raises(ArgumentError, match=str(sparsity)):
            nodepath.prune(model, x, method="random", sparsity=sparsity)

    def test_in_percent_is_refused_with_the_fraction_to_pass(self, model, x):
        with pytest.raises(ArgumentError, match=r"pass 0\.9$|pass 0\.9\)"):
            nodepath.prune(model, x, method="random", sparsity=90)

    def test_that_keeps_nothing_is_refused_with_the_highest_that_keeps_one(self, model, x):
        with pytest.raises(BudgetError, match="keeps 0 of 172") as caught:
            nodepath.prune(model, x, method="random", sparsity=0.9999)
        highest = float(str(caught.value).rsplit(" ", 1)[1])
        assert nodepath.prune(model, x, scores=ones(model), sparsity=0.0).kept == 172
        with pytest.raises(nodepath.errors.CollapseError):
            nodepath.prune(model, x, method="random", sparsity=highest)

    def test_or_layer_counts_but_not_both_or_none(self, model, x):
        for arguments in ({}, {"sparsity": 0.5, "layer_counts": SIZES}):
            with pytest.raises(ArgumentError, match="one of sparsity="):
                nodepath.prune(model, x, method="random", **arguments)

    def test_zero_keeps_all(self, model, x):
        assert nodepath.prune(model, x, method="random", sparsity=0).sparsity == 0.0


def ones(model: nn.Module) -> dict[str, Tensor]:
    return {n: torch.ones_like(p) for n, p in model.named_parameters() if p.ndim == 2}


class TestLayerCounts:
    def test_are_kept_and_override_the_scope(self, model, x):
        wanted = {"0.weight": 7, "2.weight": 30, "4.weight": 5}
        masks = nodepath.prune(model, x, method="magnitude", layer_counts=wanted, scope="global")
        assert counts(masks) == wanted
        assert masks.metadata["kept"] == 42

    @pytest.mark.parametrize("wanted", [{"0.weight": 7}, {**SIZES, "7.weight": 1}])
    def test_must_name_each_included_layer_and_no_other(self, model, x, wanted):
        with pytest.raises(BudgetError, match=r"'[247]\.weight'"):
            nodepath.prune(model, x, method="random", layer_counts=wanted)

    @pytest.mark.parametrize("count", [-1, 81, float("nan")])
    def test_outside_of_what_a_layer_holds_are_refused(self, model, x, count):
        with pytest.raises(BudgetError, match=r"'2\.weight'.*80"):
            nodepath.prune(model, x, method="random", layer_counts={**SIZES, "2.weight": count})


class TestIncludeAndExclude:
    @pytest.mark.parametrize(
        "arguments",
        [{"exclude": "4.*"}, {"include": ["0.weight", "2.weight"]}, {"include": "*", "exclude": ["4.weight"]}],
    )
    @pytest.mark.parametrize("method", ["random", "erk", "magnitude", "synflow", "npb"])
    def test_sparsity_speaks_of_the_included_and_the_excluded_are_absent(self, model, x, method, arguments):
        masks = nodepath.prune(model, x, method=method, sparsity=0.7, **arguments)
        assert list(masks) == ["0.weight", "2.weight"]
        assert masks.kept == round(0.3 * 140)
        assert masks.sparsity == pytest.approx(0.7)
        assert masks.metadata["prunable"] == 140

    @pytest.mark.parametrize("what", ["include", "exclude"])
    def test_a_pattern_that_matches_nothing_is_refused(self, model, x, what):
        with pytest.raises(ArgumentError, match=rf"{what} pattern '9\.\*'"):
            nodepath.prune(model, x, method="random", sparsity=0.5, **{what: ["0.*", "9.*"]})

    def test_that_leave_nothing_are_refused(self, model, x):
        with pytest.raises(ArgumentError, match="leave no layer"):
            nodepath.prune(model, x, method="random", sparsity=0.5, include="0.*", exclude="*.weight")


class TestScope:
    def test_global_is_the_default_of_a_score(self, model, x):
        masks = nodepath.prune(model, x, method="magnitude", sparsity=0.8)
        assert masks == nodepath.prune(model, x, method="magnitude", sparsity=0.8, scope="global")
        flat = torch.cat([p.detach().abs().flatten() for p in model.parameters() if p.ndim == 2])
        border = flat.sort(descending=True).values[masks.kept - 1]
        assert masks == nodepath.MaskSet({n: model.get_parameter(n).abs() >= border for n in masks})

    @pytest.mark.parametrize("method", ["random", "magnitude", "synflow", "npb"])
    def test_layerwise_gives_each_layer_the_same_density(self, model, x, method):
        masks = nodepath.prune(model, x, method=method, sparsity=0.75, scope="layerwise")
        assert counts(masks) == {"0.weight": 15, "2.weight": 20, "4.weight": 8}

    @pytest.mark.parametrize("method", ["random", "magnitude", "synflow", "npb"])
    def test_erk_gives_the_layers_the_counts_of_the_erk_budget(self, model, x, method):
        masks = nodepath.prune(model, x, method=method, sparsity=0.75, scope="erk")
        # 43 weights in proportion to in + out = 16, 18, 12; the largest remainders are rounded up
        assert counts(masks) == {"0.weight": 15, "2.weight": 17, "4.weight": 11}

    def test_of_a_budget_method_is_not_passed_over_in_silence(self, model, x):
        """`erk` brings its own layer counts: another scope is either obeyed or refused, never just recorded."""
        try:
            masks = nodepath.prune(model, x, method="erk", sparsity=0.75, scope="layerwise")
        except ArgumentError as error:
            assert "scope" in str(error)  # noqa: PT017
        else:
            assert counts(masks) == {"0.weight": 15, "2.weight": 20, "4.weight": 8}


@dataclass(frozen=True)
class FirstOfEach:
    """A third party's method: the first weights in order, `extra` more than asked."""

    extra: int = 0
    lost: str | None = None

    def __call__(self, problem: Problem) -> Choice:
        left, masks = problem.keep + self.extra, {}
        for layer in reversed(problem.layers):
            mask = torch.arange(layer.size).reshape(layer.shape) < left
            left -= int(mask.sum())
            masks[layer.name] = mask
        return Choice({name: masks[name] for name in problem.included if name != self.lost})


class TestMethodObject:
    def test_is_asked_for_the_count_and_recorded_with_its_options(self, model, x):
        masks = nodepath.prune(model, x, method=FirstOfEach(), sparsity=0.2)
        assert counts(masks) == {"0.weight": 26, "2.weight": 80, "4.weight": 32}
        assert masks.metadata["method"] == "FirstOfEach"
        assert masks.metadata["options"] == {"extra": 0, "lost": None}

    @pytest.mark.parametrize("extra", [-1, 1])
    def test_that_keeps_another_number_is_refused_with_both(self, model, x, extra):
        with pytest.raises(BudgetError, match=f"'FirstOfEach' keeps {138 + extra} weights where 138"):
            nodepath.prune(model, x, method=FirstOfEach(extra), sparsity=0.2)

    def test_that_forgets_a_layer_is_refused(self, model, x):
        with pytest.raises(MaskMismatchError, match="'FirstOfEach'"):
            nodepath.prune(model, x, method=FirstOfEach(lost="2.weight"), sparsity=0.2)

    def test_takes_its_options_itself(self, model, x):
        with pytest.raises(ArgumentError, match="'extra'"):
            nodepath.prune(model, x, method=FirstOfEach(), sparsity=0.2, extra=1)

    def test_that_is_no_method_is_refused(self, model, x):
        with pytest.raises(ArgumentError, match="int"):
            nodepath.prune(model, x, method=3, sparsity=0.2)

    def test_given_as_its_class_is_refused(self, model, x):
        with pytest.raises(ArgumentError, match="FirstOfEach"):
            nodepath.prune(model, x, method=FirstOfEach, sparsity=0.2)

    def test_unknown_by_name_is_refused_with_the_nearest(self, model, x):
        with pytest.raises(UnknownNameError, match="did you mean 'synflow'"):
            nodepath.prune(model, x, method="sinflow", sparsity=0.2)


@pytest.mark.parametrize("seed", [1.0, "0", True, None])
def test_seed_that_is_no_int_is_refused(model, x, seed):
    with pytest.raises(ArgumentError, match="seed"):
        nodepath.prune(model, x, method="random", sparsity=0.5, seed=seed)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("synflow", {"iterations": 0}),
        ("synflow-npb", {"iterations": 0}),
        ("synflow-npb", {"random_every": 0}),
        ("synflow-npb", {"random_until": -1}),
        ("npb", {"alpha": 1.01}),
        ("npb", {"alpha": float("nan")}),
        ("npb", {"beta": -0.1}),
        ("npb", {"beta": float("nan")}),
        ("npb", {"max_per_kernel": 0}),
        ("npb", {"cells": "centre"}),
        ("npb", {"budget": "none-such"}),
        ("npb", {"scope": "global"}),
    ],
)
def test_option_without_sense_is_refused(model, x, method, options):
    with pytest.raises(ArgumentError):
        nodepath.prune(model, x, method=method, sparsity=0.5, **options)
