import pytest
import torch
from test_npb_layer import by_milp
from torch import Tensor, nn

import nodepath
from nodepath.errors import BudgetWarning
from nodepath.methods.optimum.layer import LayerProblem, objective


@pytest.fixture(scope="module")
def resnet20() -> nn.Module:
    return nodepath.models.create("resnet20", num_classes=10, seed=0)


X = torch.zeros(1, 3, 32, 32)


def depthwise() -> nn.Module:
    """Inverted bottlenecks: grouped layers between pointwise ones."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False), nn.ReLU6()]
    for stride in (1, 2, 1):
        layers += [nn.Conv2d(16, 48, 1), nn.BatchNorm2d(48), nn.ReLU6()]
        layers += [nn.Conv2d(48, 48, 3, stride=stride, padding=1, groups=48), nn.ReLU6(), nn.Conv2d(48, 16, 1)]
    layers += [nn.Conv2d(16, 32, 3, groups=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("cells", ["paths", "random", "magnitude"])
@pytest.mark.parametrize("sparsity", [0.9, 0.97, 0.99])
def test_every_kept_weight_of_resnet20_lies_on_a_path(resnet20, sparsity, cells):
    masks = nodepath.prune(resnet20, X, method="npb", sparsity=sparsity, cells=cells)
    assert masks.kept == round((1 - sparsity) * 270_896)
    assert nodepath.effective(resnet20, X, masks) == masks


@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.9])
def test_every_kept_weight_of_a_depthwise_network_lies_on_a_path(sparsity):
    model = depthwise()
    masks = nodepath.prune(model, X, method="npb", sparsity=sparsity)
    assert masks.kept == round((1 - sparsity) * masks.total)
    assert nodepath.effective(model, X, masks) == masks


def test_budget_beyond_what_can_lie_on_a_path_is_kept_with_a_warning():
    """On a map of one pixel eight of nine cells see padding only."""
    model = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6, 3))
    x = torch.zeros(1, 4, 1, 1)
    with pytest.warns(BudgetWarning, match="75 of 117 kept weights lie on no path"):
        masks = nodepath.prune(model, x, method="npb", sparsity=0.5)
    assert masks.kept == round(0.5 * (4 * 6 * 9 + 18))
    assert nodepath.effective(model, x, masks).kept == 4 * 6 + 18


def test_warns_of_nothing_where_the_budget_fits(recwarn):
    model = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6, 3))
    masks = nodepath.prune(model, torch.zeros(1, 4, 1, 1), method="npb", sparsity=1 - 40 / 234)
    assert nodepath.effective(model, torch.zeros(1, 4, 1, 1), masks).kept == 40
    assert not recwarn.list


@pytest.mark.parametrize("keep", [3, 5, 6, 14, 30])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_single_linear_reaches_the_optimum_of_integer_programming(keep, alpha):
    model = nn.Linear(6, 5)
    masks = nodepath.prune(model, torch.zeros(1, 6), method="npb", sparsity=1 - keep / 30, alpha=alpha)
    ones = torch.ones(1, 6, dtype=torch.int64)
    problem = LayerProblem(ones.double(), 5, ones, keep, alpha, 0.0)
    best = objective(problem, by_milp(problem))
    assert objective(problem, masks["weight"].T.long().unsqueeze(0)) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("keep", [4, 9, 20, 60])
@pytest.mark.parametrize(("alpha", "beta", "cap"), [(0.5, 0.0, None), (0.01, 1.0, 5), (0.9, 0.1, 2)])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 4)])
def test_a_single_convolution_reaches_the_optimum_of_integer_programming(keep, alpha, beta, cap, groups, kernel):
    """Without padding every cell reads every position alike, so the surrogate's paths are one an input pixel."""
    model = nn.Conv2d(4, 4, kernel, groups=groups)
    cells, size = kernel[0] * kernel[1], model.weight.numel()
    keep = min(keep, size)
    options = {"alpha": alpha, "beta": beta, "max_per_kernel": cap}
    masks = nodepath.prune(model, torch.zeros(1, 4, 5, 5), method="npb", sparsity=1 - keep / size, **options)
    kernels = size // cells
    soft = cells if cap is None else max(cap, -(-keep // kernels))
    paths = torch.full((groups, 4 // groups), 25.0, dtype=torch.float64)
    caps = torch.full(paths.shape, min(cells, soft))
    problem = LayerProblem(paths, 4 // groups, caps, keep, alpha, beta)
    counts = masks["weight"].flatten(2).sum(dim=2).reshape(groups, 4 // groups, 4 // groups).transpose(1, 2)
    assert int(counts.max()) <= soft
    assert objective(problem, counts) == pytest.approx(objective(problem, by_milp(problem)), abs=1e-9)


def test_more_weight_on_paths_gives_more_paths_and_fewer_nodes(resnet20):
    paths, nodes = (
        nodepath.measure(
            resnet20, X, nodepath.prune(resnet20, X, method="npb", sparsity=0.99, alpha=a), convention="paper"
        )
        for a in (0.0, 0.9)
    )
    assert paths.log10_paths > nodes.log10_paths + 2
    assert paths.nodes < nodes.nodes


def test_kernels_keep_no_more_than_asked(resnet20):
    masks = nodepath.prune(resnet20, X, method="npb", sparsity=0.9, alpha=0.99, beta=0.001, max_per_kernel=5)
    name = "layer3.2.conv2.weight"
    assert int(masks[name].flatten(2).sum(dim=2).max()) <= 5
    free = nodepath.prune(resnet20, X, method="npb", sparsity=0.9, alpha=0.0)
    assert int(free[name].flatten(2).sum(dim=2).max()) > 5


class Joined(nn.Module):
    """Two layers whose outputs a residual add joins."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 1), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.block(x)).mean(dim=(2, 3)))


@pytest.mark.parametrize("seed", range(3))
def test_layers_that_are_added_together_share_their_weights_by_the_same_outputs(seed):
    """Few: each on its own output. Many: of 100 weights 9 outputs have 10 each, the others one."""
    for stem, block, shared in ((5, 5, 5), (48, 100, 9)):
        counts = {"stem.weight": stem, "block.weight": block, "head.weight": 10}
        masks = nodepath.prune(Joined(), torch.zeros(1, 3, 4, 4), "npb", layer_counts=counts, seed=seed)
        degrees = [masks[name].flatten(1).sum(dim=1) for name in ("stem.weight", "block.weight")]
        if stem == block:
            assert torch.equal(degrees[0] > 0, degrees[1] > 0)
        assert int((degrees[1] >= max(1, block // 10)).sum()) == shared


def test_cells_are_drawn_by_the_sixteenth_power_of_the_paths_that_they_would_carry():
    """3x3 kernels with padding on a 20x20 map: the centre sees 400 pixels, an edge 380, a corner 361."""
    model = nn.Conv2d(40, 100, 3, padding=1, bias=False)
    x, sparsity = torch.zeros(1, 40, 20, 20), 1 - 1 / 9
    arguments = {"sparsity": sparsity, "method": "npb", "alpha": 0.99, "beta": 1.0, "max_per_kernel": 1}
    drawn = nodepath.prune(model, x, **arguments)["weight"]
    assert bool((drawn.flatten(2).sum(dim=2) == 1).all())
    seen = drawn.sum(dim=(0, 1)).double() / 4000
    paths = torch.tensor([[361.0, 380, 361], [380, 400, 380], [361, 380, 361]], dtype=torch.float64) ** 16
    expected = paths / paths.sum()
    assert (seen - expected).abs().max() < 0.03  # four standard deviations
    evenly = nodepath.prune(model, x, cells="random", **arguments)["weight"].sum(dim=(0, 1)).double() / 4000
    assert (evenly - 1 / 9).abs().max() < 0.02


def test_cells_by_magnitude_are_the_largest_of_their_kernels():
    model = nn.Conv2d(5, 6, 3, bias=False)
    arguments = {"alpha": 0.99, "beta": 1.0, "max_per_kernel": 2, "cells": "magnitude"}
    masks = nodepath.prune(model, torch.zeros(1, 5, 6, 6), method="npb", sparsity=1 - 60 / 270, **arguments)
    for mask, weight in zip(
        masks["weight"].flatten(0, 1).flatten(1), model.weight.detach().flatten(0, 1).flatten(1), strict=True
    ):
        largest = weight.abs().argsort(descending=True)[: int(mask.sum())]
        assert set(mask.nonzero().flatten().tolist()) == set(largest.tolist())


@pytest.mark.parametrize("sparsity", [0.9, 0.99])
def test_every_kept_weight_of_vgg19_lies_on_a_path(sparsity):
    """Its last maps of 4x4 and 2x2 pixels are where cells drawn without regard to paths die."""
    model = nodepath.models.create("vgg19", num_classes=100, seed=0)
    masks = nodepath.prune(model, X, method="npb", sparsity=sparsity)
    topo = nodepath.measure(model, X, masks, convention="paper")
    assert topo.kept == topo.effective == round((1 - sparsity) * 20_070_080)


def test_vgg19_keeps_all_its_nodes_at_99_percent():
    """node-path-balancing.md section 3, VGG-19 at 99 %, alpha .5, beta 0: 5,607 nodes where every cell lives."""
    model = nodepath.models.create("vgg19", num_classes=100, seed=0)
    masks = nodepath.prune(model, X, method="npb", sparsity=0.99)
    assert nodepath.measure(model, X, masks, convention="paper").nodes == 5607


def test_in_channel_resolution_no_cell_is_preferred():
    """A channel stands for all of its pixels, so a corner cell carries as much as the centre, also on a small map."""
    model = nn.Sequential(nn.Conv2d(8, 40, 3, padding=1), nn.Flatten(), nn.Linear(160, 2))
    x = torch.zeros(1, 8, 2, 2)
    options = {"alpha": 0.99, "beta": 1.0, "max_per_kernel": 1, "layer_counts": {"0.weight": 320, "2.weight": 300}}
    shares = {}
    for resolution in ("channel", "pixel"):
        mask = nodepath.prune(model, x, "npb", resolution=resolution, **options)["0.weight"]
        shares[resolution] = float(mask[:, :, 1, 1].sum() / mask.sum())
    assert shares["channel"] < 0.25
    assert shares["pixel"] > 0.9
