import warnings

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import CollapseError, CollapseWarning
from nodepath.methods.give_back import give_back
from nodepath.paths import Network


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
        assert masks.metadata["collapse"] == {"emptied": ["2.weight"], "given_back": [], "no_path": True}

    def test_with_an_emptied_layer_gets_its_best_weight_from_the_lowest_kept_of_all(self):
        masks = empties_the_middle("keep-one")
        assert masks.kept == 38
        assert masks["2.weight"].flatten().tolist() == [False] * 29 + [True]
        assert masks["0.weight"].flatten().tolist() == [False] + [True] * 19  # 10.00 was the lowest of all
        assert masks["4.weight"].all()
        assert nodepath.measure(chain(), X, masks).log10_paths >= 0
        assert masks.metadata["collapse"] == {"emptied": [], "given_back": ["2.weight"], "no_path": False}

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
        assert masks.metadata["collapse"] == {"emptied": [], "given_back": [], "no_path": True}


class Fork(nn.Module):
    """Two branches side by side, joined by concatenation: no skip passes either by."""

    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.left = nn.Linear(4, 5)
        self.right = nn.Linear(4, 6)
        self.head = nn.Linear(11, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([self.left(x), self.right(x)], dim=1))


class TestFork:
    def test_with_an_emptied_branch_is_an_error_though_the_other_has_paths(self):
        with pytest.raises(CollapseError, match=r"'right\.weight' keeps 0 of 24"):
            nodepath.prune(Fork(), X, scores=full(Fork(), right=-5.0), sparsity=24 / 77)

    def test_with_an_emptied_branch_is_a_warning_where_asked(self):
        with pytest.warns(CollapseWarning, match=r"'right\.weight'"):
            masks = nodepath.prune(Fork(), X, scores=full(Fork(), right=-5.0), sparsity=24 / 77, on_collapse="warn")
        assert masks.metadata["collapse"] == {"emptied": ["right.weight"], "given_back": [], "no_path": False}


def test_what_two_layers_of_a_branch_get_back_is_joined():
    """The best-scored weights of the two lie on no path together."""

    class Branched(Fork):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.cat([self.left(x), self.last(self.right(x))], dim=1))

    model = Branched()
    scores = full(model, right=-5.0, last=-9.0)
    scores["right.weight"][2, 1] = -3.0
    masks = nodepath.prune(model, X, scores=scores, sparsity=60 / 113, on_collapse="keep-one")
    assert masks.kept == 53
    assert masks["right.weight"].nonzero().tolist() == [[2, 1]]
    assert masks["last.weight"].nonzero().tolist() == [[5, 2]]  # the best of those that read channel 2
    assert all(layer.path_share > 0 for layer in nodepath.measure(model, X, masks).layers)


def test_a_branch_whose_output_nothing_reads_any_more_is_read_again_by_the_best_weight():
    """Its readers keep weights, but none that goes on from there."""
    model = Fork()
    scores = full(model, right=-5.0)
    scores["head.weight"][:, 5:] = -9.0  # all that reads the right branch
    scores["head.weight"][2, 10] = -8.5  # reads what the best of the branch writes
    scores["head.weight"][0, 8] = -7.0  # better, but reads another channel
    masks = nodepath.prune(model, X, scores=scores, sparsity=1 - 30 / 77, on_collapse="keep-one")
    assert masks.kept == 30
    assert masks["right.weight"].nonzero().tolist() == [[5, 3]]  # the best of all
    assert masks["head.weight"][:, 5:].nonzero().tolist() == [[2, 5]]
    assert all(layer.path_share > 0 for layer in nodepath.measure(model, X, masks).layers)
    assert masks.metadata["collapse"]["given_back"] == ["right.weight"]


def test_what_is_paid_leaves_each_layer_a_path():
    model = Fork()
    scores = full(model, right=-5.0, left=-5.0)
    scores["left.weight"][0, 0] = 1.0  # the lowest kept, but the other goes nowhere
    scores["left.weight"][1, 0] = 2.0
    scores["head.weight"][:, 1] = -9.0
    masks = nodepath.prune(model, X, scores=scores, sparsity=1 - 32 / 77, on_collapse="keep-one")
    assert masks.kept == 32
    assert masks["left.weight"].nonzero().tolist() == [[0, 0]]
    assert all(layer.path_share > 0 for layer in nodepath.measure(model, X, masks).layers)


def test_weights_that_a_method_pruned_in_earlier_rounds_are_given_back_as_well():
    """Their score is -inf."""
    model = Fork(outputs=1)
    ranking, ones = full(model), {name: torch.ones_like(score) > 0 for name, score in full(model).items()}
    ranking["right.weight"][:] = ranking["head.weight"][:, 5:] = -torch.inf
    ranking["right.weight"][5, 3] = 0.0
    masks = {**ones, "right.weight": ~ones["right.weight"], "head.weight": ranking["head.weight"] > 0}
    found = give_back(Network(model, X), masks, ranking, ["right.weight"])
    assert found["right.weight"].nonzero().tolist() == [[5, 3]]
    assert found["head.weight"][:, 5:].nonzero().tolist() == [[0, 5]]
    assert sum(int(mask.sum()) for mask in found.values()) == 25


class Gated(nn.Module):
    """Values and what steers them in one layer."""

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 6)
        self.up = nn.Linear(6, 8, bias=bias)
        self.down = nn.Linear(4, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        gate, value = self.up(x).chunk(2, -1)
        return self.head(x + self.down(torch.nn.functional.silu(gate) * value))


@pytest.mark.parametrize("bias", [True, False])
def test_what_is_given_back_has_an_effect_where_a_layer_packs_values_and_gates(bias):
    """Scores are best on the gate's rows; without a bias a value needs a gate as well."""
    model = Gated(bias=bias)
    scores = {name: score.flip(0) for name, score in full(model, up=-10.0).items()}
    masks = nodepath.prune(model, X, scores=scores, sparsity=1 - 40 / 114, on_collapse="keep-one")
    assert masks.kept == 40
    layers = {layer.name: layer for layer in nodepath.measure(model, X, masks).layers}
    assert layers["up.weight"].kept == layers["up.weight"].effective == (1 if bias else 2)
    assert layers["down.weight"].effective > 0


def test_weights_that_a_method_by_paths_does_not_rank_pay_last():
    model = Gated()
    with torch.no_grad():
        model.down.weight.mul_(1e-6)
    masks = {}
    for answer in ("warn", "keep-one"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CollapseWarning)
            masks[answer] = nodepath.prune(model, X, "synflow", sparsity=1 - 30 / 114, on_collapse=answer)
    before, after = masks["warn"]["up.weight"][:4], masks["keep-one"]["up.weight"][:4]  # the gate's rows
    assert masks["keep-one"].metadata["collapse"]["given_back"] == ["down.weight"]
    assert before.any()
    assert bool(after[before].all())


@pytest.mark.parametrize("seed", range(12))
def test_a_chain_is_repaired_whenever_there_are_weights_enough(seed):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.rand(score.shape, generator=generator) for name, score in full(model).items()}
    scores["4.weight"] -= 2
    scores["5.weight"] -= 2
    keep = 5 + seed % 4
    masks = nodepath.prune(model, X[:, :3], scores=scores, sparsity=1 - keep / 52, on_collapse="keep-one")
    assert masks.kept == keep
    assert all(layer.path_share == 1 for layer in nodepath.measure(model, X[:, :3], masks).layers)


class TestResidual:
    @pytest.mark.parametrize("answer", ["error", "warn"])
    def test_block_emptied_beside_a_live_skip_is_only_a_warning(self, answer):
        model = Block()
        with pytest.warns(CollapseWarning, match=r"'second\.weight' keeps 0 of 35.*live skip"):
            masks = nodepath.prune(model, X, scores=full(model, second=-5.0), sparsity=35 / 105, on_collapse=answer)
        assert masks.metadata["collapse"] == {"emptied": ["second.weight"], "given_back": [], "no_path": False}
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


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_given_back_lies_on_a_path_and_what_is_paid_cuts_no_layer_off(seed):
    generator = torch.Generator().manual_seed(seed)
    model = Block()
    scores = {name: torch.rand(score.shape, generator=generator) for name, score in full(model).items()}
    low = list(scores)[seed % 4], list(scores)[int(torch.randint(4, (1,), generator=generator))]
    for name in low:
        scores[name] -= 2
    budget = {"sparsity": 1 - (8 + seed % 12) / 105}

    def pruned(answer: str) -> nodepath.MaskSet:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CollapseWarning)
            return nodepath.prune(model, X, scores=scores, on_collapse=answer, **budget)

    before, after = pruned("warn"), pruned("keep-one")
    shares = [[layer.path_share > 0 for layer in nodepath.measure(model, X, m).layers] for m in (before, after)]
    assert after.kept == before.kept
    for lived, lives, mask in zip(*shares, before.values(), strict=True):
        assert lives or not (lived or not mask.any())
    if all(mask.any() for mask in before.values()):
        assert after == before


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
        model.stem.weight[3], model.head.weight[:, 3] = 1.1, 1.1  # so that what the best weight writes is read
        model.stem.weight[2] = 1.1
    with pytest.warns(CollapseWarning):
        collapsed = nodepath.prune(model, X, method="synflow", sparsity=1 - 20 / 105)
    assert not collapsed["second.weight"].any()
    masks = nodepath.prune(model, X, method="synflow", sparsity=1 - 20 / 105, on_collapse="keep-one")
    assert masks.kept == 20
    assert masks["second.weight"].nonzero().tolist() == [[3, 4]]
    assert masks["first.weight"].nonzero().tolist() == [[4, 2]]
