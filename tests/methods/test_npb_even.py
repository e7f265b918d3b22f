import re
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError, BudgetWarning, CollapseError
from nodepath.paths import Network
from nodepath.paths.channels import channels

X = torch.zeros(1, 3, 32, 32)


@pytest.fixture(scope="module")
def resnet20() -> nn.Module:
    return nodepath.models.create("resnet20", num_classes=10, seed=0)


def living(model: nn.Module, x: Tensor, masks: nodepath.MaskSet) -> list[tuple[str, int, int]]:
    """Of each layer, the inputs that it reads and the outputs that it writes."""
    network = Network(model, x)
    rows = []
    for name, mask in masks.items():
        kept = network.layers[name].kernels(mask).any(3)
        rows.append((name, int(kept.any(1).sum()), int(kept.any(2).sum())))
    return rows


@pytest.mark.parametrize("sparsity", [0.6838, 0.9, 0.9684, 0.99, 0.999])
@pytest.mark.parametrize("width", [0.35, 1.0, "auto"])
def test_every_kept_weight_lies_on_a_path(resnet20, sparsity, width):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masks = nodepath.prune(resnet20, X, "npb-even", sparsity=sparsity, width=width, on_collapse="warn")
    assert masks.kept == round((1 - sparsity) * 270_896)
    assert nodepath.effective(resnet20, X, masks) == masks


@pytest.mark.parametrize(("width", "paths"), [(1.0, 0.316), (0.6, 0.393), (0.5, 0.424), (0.35, 0.483), (0.2, 0.581)])
def test_has_at_least_the_nodes_and_paths_of_the_even_masks_first_found(resnet20, width, paths):
    """Reference, section 7, the rows "even" at 99 %: nodes 701, 425, 357, 253, 148, and their path ratios."""
    masks = nodepath.prune(resnet20, X, "npb-even", sparsity=0.99, width=width)
    topology = nodepath.measure(resnet20, X, masks, convention="paper")
    assert topology.nodes == {1.0: 701, 0.6: 425, 0.5: 357, 0.35: 253, 0.2: 148}[width]
    assert topology.path_ratio > paths
    assert topology.effective_width > {1.0: 0.91, 0.6: 0.98}.get(width, 0.99) * topology.nodes


def test_degrees_are_as_equal_as_can_be(resnet20):
    masks = nodepath.prune(resnet20, X, "npb-even", sparsity=0.97, width=0.5)
    for name in ("layer1.1.conv1.weight", "layer2.1.conv2.weight", "layer3.2.conv1.weight"):
        kernels = masks[name].flatten(2).sum(2)
        for degrees in (kernels.sum(0), kernels.sum(1)):
            alive = degrees[degrees > 0]
            assert int(alive.max() - alive.min()) <= 1
        assert int(kernels.max()) - int(kernels[kernels.any(1)][:, kernels.any(0)].min()) <= 1


def test_the_same_channels_live_all_along_a_stream(resnet20):
    masks = nodepath.prune(resnet20, X, "npb-even", sparsity=0.97, width=0.5)
    written = [masks[f"layer2.{block}.conv2.weight"].flatten(1).any(1) for block in range(3)]
    read = masks["layer2.1.conv1.weight"].flatten(2).any(2).any(0)
    for other in (*written, masks["layer2.0.shortcut.conv.weight"].flatten(1).any(1)):
        assert torch.equal(other, read)
    assert int(read.sum()) == 16


def test_auto_is_the_widest_that_fills_a_twentieth(resnet20):
    masks = nodepath.prune(resnet20, X, "npb-even", sparsity=0.99)
    network = Network(resnet20, X)
    room = sum(i * o * network.layers[n].cells for n, i, o in living(resnet20, X, masks))
    assert 0.05 <= masks.kept / room < 0.055
    dense = nodepath.prune(resnet20, X, "npb-even", sparsity=0.9)
    assert nodepath.measure(resnet20, X, dense, convention="paper").nodes == 701


def test_width_by_stage_and_by_group(resnet20):
    by_name = {"*layer1*": 0.75, "*layer2*": 0.5, "*layer3*": 0.375}
    masks = nodepath.prune(resnet20, X, "npb-even", sparsity=0.99, width=by_name)
    found = {name: outputs for name, _, outputs in living(resnet20, X, masks)}
    assert [found[f"layer{i}.1.conv1.weight"] for i in (1, 2, 3)] == [12, 16, 24]
    assert found["conv1.weight"] == 12  # the stream's writers are a group
    listed = nodepath.prune(resnet20, X, "npb-even", sparsity=0.99, width=[0.75] * 4 + [0.5] * 4 + [0.375] * 4)
    assert listed == masks


def test_taper_gives_groups_the_same_number_or_the_same_share(resnet20):
    same = nodepath.prune(resnet20, X, "npb-even", sparsity=0.97, width=0.35, taper=0.0)
    found = {name: outputs for name, _, outputs in living(resnet20, X, same)}
    assert [found[f"layer{i}.1.conv1.weight"] for i in (1, 2, 3)] == [13, 13, 13]
    share = nodepath.prune(resnet20, X, "npb-even", sparsity=0.97, width=0.5)
    found = {name: outputs for name, _, outputs in living(resnet20, X, share)}
    assert [found[f"layer{i}.1.conv1.weight"] for i in (1, 2, 3)] == [8, 16, 32]


class Block(nn.Module):
    """Attention, a gate, a GLU, a grouped and a depthwise convolution around one stream."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, stride=4)
        self.attend = nn.MultiheadAttention(32, 4, batch_first=True)
        self.up, self.down = nn.Linear(32, 128), nn.Linear(64, 32)
        self.grouped, self.depthwise = (
            nn.Conv2d(32, 32, 3, padding=1, groups=4),
            nn.Conv2d(32, 32, 3, padding=1, groups=32),
        )
        self.squeeze, self.excite = nn.Linear(32, 16), nn.Linear(16, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        x = x + self.depthwise(F.relu(self.grouped(x)))
        x = x * self.excite(F.relu(self.squeeze(x.mean((2, 3))))).sigmoid()[..., None, None]
        x = x.flatten(2).transpose(1, 2)
        x = x + self.attend(x, x, x)[0]
        value, gate = self.up(x).chunk(2, -1)
        x = x + self.down(F.gelu(gate) * value)
        return self.head(x.mean(1))


@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("resolution", ["pixel", "channel"])
@pytest.mark.parametrize("width", [0.5, "auto"])
def test_attention_gates_and_grouped_layers_are_pruned_to_the_living(sparsity, resolution, width):
    model, x = Block(), torch.zeros(1, 3, 16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BudgetWarning)
        masks = nodepath.prune(model, x, "npb-even", sparsity=sparsity, width=width, resolution=resolution)
    assert masks.kept == round((1 - sparsity) * masks.total)
    assert nodepath.effective(model, x, masks, resolution=resolution) == masks
    topology = nodepath.measure(model, x, masks, resolution=resolution)
    assert all(layer.effective > 0 for layer in topology.layers)
    assert topology.control > 0


def test_channels_of_layers_that_are_left_dense_all_live(resnet20):
    masks = nodepath.prune(resnet20, X, "npb-even", sparsity=0.97, width=0.5, exclude="layer2.1.conv2.weight")
    tied = channels(Network(resnet20, X))
    stream = set(tied.side(("layer2.1.conv2.weight", 0), incoming=False).channels.tolist())
    assert set(tied.side(("layer2.2.conv1.weight", 0), incoming=True).channels.tolist()) == stream
    assert int(masks["layer2.2.conv1.weight"].flatten(2).any(2).any(0).sum()) == 32
    assert int(masks["layer1.1.conv1.weight"].flatten(2).any(2).any(1).sum()) == 8


def test_layer_counts_are_kept(resnet20):
    wanted = nodepath.prune(resnet20, X, "erk", sparsity=0.95)
    counts = {name: int(mask.sum()) for name, mask in wanted.items()}
    masks = nodepath.prune(resnet20, X, "npb-even", layer_counts=counts, width=1.0)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == counts


@pytest.mark.parametrize("sparsity", [0.9, 0.99])
@pytest.mark.parametrize("width", [0.35, 0.5, "auto"])
def test_layer_counts_are_kept_at_any_width(resnet20, sparsity, width):
    wanted = nodepath.prune(resnet20, X, "erk", sparsity=sparsity)
    counts = {name: int(mask.sum()) for name, mask in wanted.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BudgetWarning)
        masks = nodepath.prune(resnet20, X, "npb-even", layer_counts=counts, width=width)
        scoped = nodepath.prune(resnet20, X, "npb-even", sparsity=sparsity, scope="erk", width=width)
    for made in (masks, scoped):
        assert {name: int(mask.sum()) for name, mask in made.items()} == counts


def test_only_groups_beside_layers_that_cannot_hold_their_counts_widen(resnet20):
    counts = {name: int(m.sum()) for name, m in nodepath.prune(resnet20, X, "erk", sparsity=0.99).items()}
    counts["layer1.1.conv1.weight"] = 1500
    with pytest.warns(BudgetWarning, match="hold 576 of the 1500 weights that layer1.1.conv1.weight is to keep"):
        masks = nodepath.prune(resnet20, X, "npb-even", layer_counts=counts, width=0.5)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == counts
    found = {name: outputs for name, _, outputs in living(resnet20, X, masks)}
    assert [found[f"layer{i}.1.conv1.weight"] for i in (1, 2, 3)] == [13, 16, 32]
    assert [found[f"layer{i}.2.conv2.weight"] for i in (1, 2, 3)] == [13, 16, 32]


MLP = {"0.weight": 20, "2.weight": 130, "4.weight": 10}


@pytest.mark.parametrize("counts", [MLP, {"0.weight": 90, "2.weight": 30, "4.weight": 10}])
@pytest.mark.parametrize("width", [0.1, 0.5, [0.2, 1.0]])
def test_a_width_that_cannot_hold_a_layers_count_yields_with_a_warning(counts, width):
    model = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 4))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        masks = nodepath.prune(model, torch.zeros(1, 8), "npb-even", layer_counts=counts, width=width)
    assert re.search(r"weights that [02].weight is to keep, so more live: .* or other counts", str(told[0].message))
    assert {name: int(mask.sum()) for name, mask in masks.items()} == counts


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0, "auto"])
def test_a_layer_keeps_its_count_where_cells_carry_no_path(width):
    """Maps of 2x2 and 1x1: half of the cells of `1` and `2` read nothing but padding."""
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )
    counts = {"0.weight": 20, "1.weight": 20, "2.weight": 60, "4.weight": 6}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        masks = nodepath.prune(model, torch.zeros(1, 2, 4, 4), "npb-even", layer_counts=counts, width=width)
    assert re.match("44 of 106 kept weights lie on no path", str(told[-1].message))
    assert {name: int(mask.sum()) for name, mask in masks.items()} == counts


@pytest.mark.parametrize("scope", ["layerwise", "erk"])
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("width", [0.3, "auto"])
def test_layers_of_which_a_part_steers_keep_their_counts(scope, sparsity, width):
    model, x = Block(), torch.zeros(1, 3, 16, 16)
    wanted = nodepath.prune(model, x, "random", sparsity=sparsity, scope=scope, on_collapse="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BudgetWarning)
        masks = nodepath.prune(model, x, "npb-even", sparsity=sparsity, scope=scope, width=width, on_collapse="warn")
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {n: int(m.sum()) for n, m in wanted.items()}


class GateThenAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.attend, self.head = (
            nn.Linear(6, 16),
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Linear(8, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.up(x).chunk(2, -1)
        x = value * gate.sigmoid()
        return self.head(self.attend(x, x, x)[0])


def test_what_values_cannot_hold_goes_to_queries_and_keys_of_the_same_layer():
    model, x = GateThenAttention(), torch.zeros(1, 4, 6)
    counts = {"up.weight": 20, "attend.in_proj_weight": 120, "attend.out_proj.weight": 10, "head.weight": 10}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BudgetWarning)
        masks = nodepath.prune(model, x, "npb-even", layer_counts=counts, width=[1.0, 1.0, 0.25, 1.0])
    assert {name: int(mask.sum()) for name, mask in masks.items()} == counts
    assert [int(part.sum()) for part in masks["attend.in_proj_weight"].chunk(3)] == [52, 52, 16]


def test_a_budget_by_name_holds_on_the_living_part(resnet20):
    masks = nodepath.prune(resnet20, X, "npb-even", sparsity=0.99, width=0.5, budget="erk")
    wide = nodepath.prune(resnet20, X, "erk", sparsity=0.96)
    share = int(masks["layer3.1.conv1.weight"].sum()) / masks.kept
    assert share == pytest.approx(int(wide["layer3.1.conv1.weight"].sum()) / wide.kept, rel=0.1)
    with pytest.raises(ArgumentError, match="unknown budget 'erkk'"):
        nodepath.prune(resnet20, X, "npb-even", sparsity=0.99, budget="erkk")


def test_a_width_that_cannot_hold_the_budget_yields_with_a_warning(resnet20):
    with pytest.warns(BudgetWarning, match="living channels hold"):
        masks = nodepath.prune(resnet20, X, "npb-even", sparsity=0.5, width=0.3)
    assert masks.kept == 135_448
    with pytest.warns(BudgetWarning, match="need 685 weights to lie on paths, more than 542"):
        masks = nodepath.prune(resnet20, X, "npb-even", sparsity=0.998, width=1.0)
    assert nodepath.effective(resnet20, X, masks) == masks


def test_nothing_pruned_and_almost_everything():
    model, x = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)), torch.zeros(1, 6)
    assert nodepath.prune(model, x, "npb-even", sparsity=0.0).kept == 50
    least = nodepath.prune(model, x, "npb-even", sparsity=1 - 2 / 50)
    assert nodepath.measure(model, x, least).log10_paths == 0.0
    with pytest.warns(BudgetWarning), pytest.raises(CollapseError):
        nodepath.prune(model, x, "npb-even", sparsity=1 - 1 / 50)


def test_a_layer_of_one_channel():
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.Conv2d(1, 8, 3, padding=1))
    x = torch.zeros(1, 1, 6, 6)
    masks = nodepath.prune(model, x, "npb-even", sparsity=0.8)
    assert masks.kept == 16
    assert nodepath.effective(model, x, masks) == masks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width is 0; pass a share"),
        ({"width": 1.5}, "width is 1.5; pass a share"),
        ({"width": "wide"}, "width is 'wide'; pass a share"),
        ({"width": [0.5, 0.5]}, "width has 2 shares; the network has 12 groups of channels, written by conv1.weight"),
        ({"width": {"layer9*": 0.5}}, "width pattern 'layer9\\*' matches no layer"),
        ({"width": {"*": 0.75, "layr3*": 0.2}}, "width pattern 'layr3\\*' matches no layer"),
        (
            {"width": {"fc*": 0.5}},
            r"width pattern 'fc\*' matches only layers whose outputs all live \(fc.weight\)",
        ),
        ({"width": {0: 0.5}}, "width has the key 0; pass patterns of layer names"),
        ({"width": {"layer1*": None}}, "width is None; pass a share"),
        ({"width": [0.5, "0.5"]}, "width is '0.5'; pass a share"),
        ({"width": None}, "width is None; pass a share"),
        ({"budget": None}, "unknown budget 'None'; .*paths"),
        ({"budget": 3}, "unknown budget '3'; .*paths"),
        ({"fill": 2}, "fill is 2; npb-even needs a number from 0 to 1"),
        ({"taper": "none"}, "taper is 'none'"),
    ],
)
def test_options_that_make_no_sense(resnet20, options, message):
    with pytest.raises(ArgumentError, match=message):
        nodepath.prune(resnet20, X, "npb-even", sparsity=0.99, **options)


LEFT_OUT = ("npb-even", "dpai", "ntk-sap")  # itself; and two that take minutes, dpai is in docs/plane.md
PLANE = [name for name in nodepath.methods.names() if not nodepath.methods.needs_batch(name) and name not in LEFT_OUT]


@pytest.mark.parametrize("sparsity", [0.6838, 0.9, 0.9684, 0.99])
def test_some_width_beats_every_other_mask_on_the_plane(resnet20, sparsity):
    """Effective width and log10 paths of each other method's mask, to 1 %."""
    widths = [0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.35, 0.42, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curve = [
            nodepath.measure(
                resnet20, X, nodepath.prune(resnet20, X, "npb-even", sparsity=sparsity, width=w), convention="paper"
            )
            for w in widths
        ]
        for method in PLANE:
            masks = nodepath.prune(resnet20, X, method, sparsity=sparsity, on_collapse="warn")
            other = nodepath.measure(resnet20, X, masks, convention="paper")
            assert any(
                even.effective_width >= 0.99 * other.effective_width and even.log10_paths >= 0.99 * other.log10_paths
                for even in curve
            ), f"{method}: width {other.effective_width:.0f}, log10 paths {other.log10_paths:.2f}"
