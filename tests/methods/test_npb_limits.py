"""What cannot be: a right answer, or an error that says so."""

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError, BudgetError, BudgetWarning, CollapseError, NonFiniteError
from nodepath.methods.optimum.budget import none_empty

X = torch.zeros(1, 3, 32, 32)
RESNET20 = 270_896


@pytest.fixture(scope="module")
def resnet20() -> nn.Module:
    return nodepath.models.create("resnet20", num_classes=10, seed=0)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def prune(model: nn.Module, x: Tensor, keep: int | None = None, **options) -> nodepath.MaskSet:
    if keep is not None:
        options["sparsity"] = 1 - keep / nodepath.measure(model, x).prunable
    return nodepath.prune(model, x, "npb", **options)


class TestSparsity:
    @pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
    def test_of_zero_keeps_all(self, resnet20, alpha):
        assert prune(resnet20, X, sparsity=0, alpha=alpha).kept == RESNET20

    def test_of_zero_warns_of_what_no_path_can_use(self):
        model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(3, 2))
        with pytest.warns(BudgetWarning, match="48 of 60 kept weights lie on no path"):
            assert prune(model, torch.zeros(1, 2, 1, 1), sparsity=0).kept == 60

    @pytest.mark.filterwarnings("ignore::nodepath.errors.CollapseWarning")  # skips pass emptied layers by
    @pytest.mark.parametrize("keep", [4, 10, 21])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_of_a_few_weights_leaves_a_path_through_the_skips(self, resnet20, keep, seed):
        """Stem, two projection shortcuts and the head: four weights are the fewest that make one."""
        masks = prune(resnet20, X, keep, seed=seed)
        assert masks.kept == nodepath.measure(resnet20, X, masks).effective == keep

    def test_of_as_many_weights_as_layers_leaves_all_of_them_alive(self, resnet20, recwarn):
        topo = nodepath.measure(resnet20, X, prune(resnet20, X, 22))
        assert [layer.effective for layer in topo.layers] == [1] * 22
        assert not recwarn.list

    @pytest.mark.filterwarnings("ignore::nodepath.errors.BudgetWarning")
    @pytest.mark.parametrize("keep", [1, 3])
    def test_beyond_that_is_an_error_that_names_a_layer(self, resnet20, keep):
        with pytest.raises(CollapseError, match=r"'conv1.weight' keeps 0 .* no path is left"):
            prune(resnet20, X, keep)

    @pytest.mark.parametrize("keep", range(3, 9))
    @pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
    def test_of_a_chain_is_right_down_to_one_weight_a_layer(self, keep, alpha):
        model, x = mlp(), torch.zeros(1, 5)
        assert nodepath.measure(model, x, prune(model, x, keep, alpha=alpha)).effective == keep

    @pytest.mark.filterwarnings("ignore::nodepath.errors.BudgetWarning")
    def test_of_fewer_weights_than_a_chain_has_layers_is_an_error(self):
        with pytest.raises(CollapseError, match="no path is left"):
            prune(mlp(), torch.zeros(1, 5), 2)


class TestLayerCounts:
    @pytest.mark.filterwarnings("ignore::nodepath.errors.BudgetWarning")
    def test_of_zero_is_an_error_that_names_the_layer(self):
        with pytest.raises(CollapseError, match=r"'2.weight' keeps 0 of 12"):
            prune(mlp(), torch.zeros(1, 5), layer_counts={"0.weight": 5, "2.weight": 0, "4.weight": 6})

    def test_are_kept_with_a_warning_where_a_neighbour_cannot_use_them(self):
        """One weight in the middle leads on from one unit, into one."""
        counts = {"0.weight": 20, "2.weight": 1, "4.weight": 6}
        model, x = mlp(), torch.zeros(1, 5)
        with pytest.warns(BudgetWarning, match="19 of 27 kept weights lie on no path"):
            masks = prune(model, x, layer_counts=counts)
        assert {name: int(mask.sum()) for name, mask in masks.items()} == counts
        assert nodepath.measure(model, x, masks).effective == 5 + 1 + 2

    def test_beyond_a_layer_are_refused(self):
        with pytest.raises(BudgetError, match=r"layer_counts\['2.weight'\] is 13"):
            prune(mlp(), torch.zeros(1, 5), layer_counts={"0.weight": 5, "2.weight": 13, "4.weight": 6})


@pytest.mark.parametrize(
    ("option", "value", "match"),
    [
        ("alpha", -0.01, "alpha is -0.01.*from 0 to 1"),
        ("alpha", 1.5, "alpha is 1.5.*from 0 to 1"),
        ("alpha", True, "alpha is True"),
        ("beta", -1e-9, "beta is -1e-09.*at least 0"),
        ("slack", 1.01, "slack is 1.01.*from 0 to 1"),
        ("slack", "much", "slack is 'much'"),
        ("max_per_kernel", 0, "max_per_kernel is 0.*whole number"),
        ("max_per_kernel", True, "max_per_kernel is True"),
        ("preset", "publisched", "unknown preset 'publisched'; did you mean 'published'"),
        ("preset", None, "unknown preset 'None'"),
        ("cells", "magnitud", "cells is 'magnitud'; did you mean 'magnitude'"),
        ("cells", 3, "cells is 3"),
        ("budget", "erkk", "'erkk'; did you mean 'erk'"),
        ("budget", 3, "budget is 3; pass the name of one: .*erk"),
    ],
)
def test_option_without_sense_is_refused_by_name_and_value(option, value, match):
    with pytest.raises(ArgumentError, match=match):
        prune(mlp(), torch.zeros(1, 5), sparsity=0.5, **{option: value})


@pytest.mark.parametrize("keep", [3, 5, 14, 26])
def test_layers_of_one_channel(keep):
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(16, 1))
    x = torch.zeros(1, 1, 4, 4)
    assert nodepath.measure(model, x, prune(model, x, keep)).effective == keep


class TwoHeads(nn.Module):
    """The second head reads a layer that sees nothing but padding."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.beside = nn.Conv2d(4, 4, 1, stride=8, padding=2, bias=False)
        self.first, self.second = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        return self.first(x.mean(dim=(2, 3))), self.second(self.beside(x).mean(dim=(2, 3)))


@pytest.mark.parametrize("method", ["npb", "synflow"])
def test_layers_that_no_path_can_reach_are_left_without_weights_and_complaint(method, recwarn):
    model, x = TwoHeads(), torch.zeros(1, 3, 4, 4)
    masks = nodepath.prune(model, x, method, sparsity=0.7)
    assert masks.kept == round(0.3 * (12 + 16 + 8 + 8))
    if method == "npb":  # SynFlow's last step may cut off a weight that it keeps
        assert nodepath.measure(model, x, masks).effective == masks.kept
    assert not masks["beside.weight"].any()
    assert not masks["second.weight"].any()
    assert not recwarn.list


def test_network_that_no_path_crosses_is_an_error():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1, stride=8, padding=2), nn.Flatten(), nn.Linear(4, 2))
    with pytest.warns(BudgetWarning), pytest.raises(CollapseError, match="no path is left"):
        prune(model, torch.zeros(1, 3, 4, 4), sparsity=0.5)


def test_scores_of_cells_that_are_not_finite_are_refused():
    class Bad:
        needs_batch = False

        def __call__(self, subject, weights):
            return {name: torch.full_like(weight, torch.nan) for name, weight in weights.items()}

    with pytest.raises(NonFiniteError, match="'weight'"):
        prune(nn.Conv2d(2, 2, 3), torch.zeros(1, 2, 5, 5), sparsity=0.5, cells=Bad())


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"a": 3, "b": 0, "c": 5}, {"a": 3, "b": 1, "c": 4}),
        ({"a": 3, "b": 0, "c": 0}, {"a": 1, "b": 1, "c": 1}),
        ({"a": 2, "b": 0, "c": 0}, {"a": 2, "b": 0, "c": 0}),
        ({"a": 2, "b": 1}, {"a": 2, "b": 1}),
    ],
)
def test_empty_layers_get_a_weight_from_the_one_that_has_most(counts, expected):
    assert none_empty(counts) == expected
