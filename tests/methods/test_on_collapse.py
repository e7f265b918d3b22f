import warnings

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import CollapseError, CollapseWarning


def chain() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))


class Block(nn.Module):
    """x + second(first(x)) between two layers: the skip keeps paths alive."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 5)
        self.first = nn.Linear(5, 7)
        self.second = nn.Linear(7, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        return self.head(x + self.second(self.first(x).relu()))


X = torch.zeros(1, 4)


def full(model: nn.Module, **low: float) -> dict[str, Tensor]:
    """Scores 10 + position, all different, but `low` for some layers."""
    scores = {}
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            base = low.get(name.removesuffix(".weight").replace(".", "_"), 10.0)
            scores[name] = base + torch.arange(parameter.numel(), dtype=torch.float64).reshape(parameter.shape) / 100
    return scores


def empties_the_middle(on_collapse: str) -> nodepath.MaskSet:
    model = chain()
    scores = full(model, **{"2": -10.0})
    return nodepath.prune(model, X, scores=scores, sparsity=1 - 38 / 68, on_collapse=on_collapse)


class TestChain:
    def test_with_an_emptied_layer_is_an_error_that_names_it(self):
        with pytest.raises(CollapseError, match=r"'2\.weight' keeps 0 of 30 weights at sparsity 0\.441.*'scores'"):
            empties_the_middle("error")

    def test_error_is_the_default(self):
        with pytest.raises(CollapseError):
            nodepath.prune(chain(), X, method="random", layer_counts={"0.weight": 9, "2.weight": 0, "4.weight": 9})

    def test_with_an_emptied_layer_is_a_warning_where_asked_and_recorded(self):
        with pytest.warns(CollapseWarning, match=r"'2\.weight' keeps 0 of 30") as caught:
            masks = empties_the_middle("warn")
        assert caught[0].filename == __file__  # where prune was called
        assert not masks["2.weight"].any()
        assert masks.kept == 38
        assert masks.metadata["collapse"] == {"emptied": ["2.weight"], "no_path": True}

    def test_with_an_emptied_layer_gets_its_best_weight_from_the_lowest_kept_of_all(self):
        masks = empties_the_middle("keep-one")
        assert masks.kept == 38
        assert masks["2.weight"].flatten().tolist() == [False] * 29 + [True]
        assert masks["0.weight"].flatten().tolist() == [False] + [True] * 19  # 10.00 was the lowest of all
        assert masks["4.weight"].all()
        assert nodepath.measure(chain(), X, masks).log10_paths >= 0
        assert masks.metadata["collapse"] == {"emptied": [], "no_path": False}

    def test_with_two_emptied_layers_is_repaired_twice(self):
        model = chain()
        scores = full(model, **{"2": -5.0, "4": -9.0})
        masks = nodepath.prune(model, X, scores=scores, sparsity=1 - 20 / 68, on_collapse="keep-one")
        assert {name: int(mask.sum()) for name, mask in masks.items()} == {"0.weight": 18, "2.weight": 1, "4.weight": 1}

    def test_that_cannot_be_repaired_is_an_error(self):
        model, scores = chain(), full(chain(), **{"2": -5.0, "4": -9.0})
        with pytest.raises(CollapseError, match="no path"):
            nodepath.prune(model, X, scores=scores, sparsity=1 - 2 / 68, on_collapse="keep-one")

    def test_without_a_path_though_no_layer_is_empty_is_an_error(self):
        model = chain()
        scores = {name: torch.zeros_like(score) for name, score in full(model).items()}
        scores["0.weight"][0, 0] = scores["2.weight"][0, 1] = scores["4.weight"][0, 0] = 1.0
        for answer in ("error", "keep-one"):
            with pytest.raises(CollapseError, match=r"no path is left.*though no layer is empty"):
                nodepath.prune(model, X, scores=scores, sparsity=1 - 3 / 68, on_collapse=answer)
        with pytest.warns(CollapseWarning, match="no path"):
            masks = nodepath.prune(model, X, scores=scores, sparsity=1 - 3 / 68, on_collapse="warn")
        assert masks.metadata["collapse"] == {"emptied": [], "no_path": True}


class Fork(nn.Module):
    """Two branches side by side, joined by concatenation: no skip passes either by."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(4, 5)
        self.right = nn.Linear(4, 6)
        self.head = nn.Linear(11, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([self.left(x), self.right(x)], dim=1))


class TestFork:
    def test_with_an_emptied_branch_is_an_error_though_the_other_has_paths(self):
        with pytest.raises(CollapseError, match=r"'right\.weight' keeps 0 of 24"):
            nodepath.prune(Fork(), X, scores=full(Fork(), right=-5.0), sparsity=24 / 77)

    def test_with_an_emptied_branch_is_a_warning_where_asked(self):
        with pytest.warns(CollapseWarning, match=r"'right\.weight'"):
            masks = nodepath.prune(Fork(), X, scores=full(Fork(), right=-5.0), sparsity=24 / 77, on_collapse="warn")
        assert masks.metadata["collapse"] == {"emptied": ["right.weight"], "no_path": False}


class TestResidual:
    @pytest.mark.parametrize("answer", ["error", "warn"])
    def test_block_emptied_beside_a_live_skip_is_only_a_warning(self, answer):
        model = Block()
        with pytest.warns(CollapseWarning, match=r"'second\.weight' keeps 0 of 35.*live skip"):
            masks = nodepath.prune(model, X, scores=full(model, second=-5.0), sparsity=35 / 105, on_collapse=answer)
        assert masks.metadata["collapse"] == {"emptied": ["second.weight"], "no_path": False}
        assert nodepath.measure(model, X, masks).log10_paths > 0

    def test_block_emptied_is_repaired_where_asked(self):
        model = Block()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            masks = nodepath.prune(model, X, scores=full(model, second=-5.0), sparsity=35 / 105, on_collapse="keep-one")
        assert masks.kept == 70
        assert int(masks["second.weight"].sum()) == 1

    def test_layer_emptied_that_no_skip_passes_by_is_an_error(self):
        model = Block()
        with pytest.raises(CollapseError, match=r"'head\.weight' keeps 0 of 15.*no path"):
            nodepath.prune(model, X, scores=full(model, head=-5.0), sparsity=15 / 105)

    def test_emptied_layers_are_counted_and_the_one_that_cuts_paths_is_named(self):
        model = Block()
        scores = full(model, head=-5.0, second=-6.0)
        with pytest.raises(CollapseError, match=r"'head\.weight' keeps 0 of 15 weights.*1 more layer"):
            nodepath.prune(model, X, scores=scores, sparsity=50 / 105)


def test_masks_without_scores_are_repaired_by_magnitude():
    model = chain()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
        model.get_parameter("2.weight")[1, 2] = -50.0
        model.get_parameter("4.weight")[0, 1] = 0.1
    counts = {"0.weight": 20, "2.weight": 0, "4.weight": 18}
    masks = nodepath.prune(model, X, method="erk", layer_counts=counts, on_collapse="keep-one")
    assert masks["2.weight"].nonzero().tolist() == [[1, 2]]
    assert (~masks["4.weight"]).nonzero().tolist() == [[0, 1]]
    assert masks["0.weight"].all()


def test_synflow_gives_an_emptied_layer_the_last_weight_it_lost():
    """`keep-one` promises the layer's best-scored weight: of a method that prunes in steps, the last to go."""
    model = Block()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1e-3 if name.startswith(("first", "second")) else 1.0)
        model.second.weight[3, 4] = 2e-3
        model.first.weight[4, 2] = 2e-3
    with pytest.warns(CollapseWarning):
        collapsed = nodepath.prune(model, X, method="synflow", sparsity=1 - 20 / 105)
    assert not collapsed["second.weight"].any()
    masks = nodepath.prune(model, X, method="synflow", sparsity=1 - 20 / 105, on_collapse="keep-one")
    assert masks.kept == 20
    assert masks["second.weight"].nonzero().tolist() == [[3, 4]]
    assert masks["first.weight"].nonzero().tolist() == [[4, 2]]
