import math
import warnings

import pytest
import torch
from torch import nn

import nodepath
from nodepath.errors import ArgumentError, BudgetError, MaskMismatchError
from nodepath.methods import Frontier, FrontierPoint


@pytest.fixture(scope="module")
def lenet() -> nn.Module:
    return nodepath.models.create("lenet5", seed=0)


X = torch.zeros(1, 1, 32, 32)


@pytest.fixture(scope="module")
def front(lenet) -> Frontier:
    return nodepath.frontier(lenet, X, sparsity=0.98)


def test_points_run_from_path_rich_to_node_rich(front):
    nodes = [point.nodes for point in front.points]
    assert len(nodes) >= 6
    assert nodes == sorted(nodes)
    assert front.points[0].log10_paths > front.points[-1].log10_paths + 1
    assert front.points[0].position > front.points[-1].position
    assert front.kept == round(0.02 * 61_470)


def test_points_are_masks_that_can_be_drawn_again(lenet, front):
    again = nodepath.frontier(lenet, X, sparsity=0.98)
    assert again == front


def test_a_mask_of_the_curve_has_efficiency_one(lenet, front):
    masks = nodepath.prune(lenet, X, "npb-even", sparsity=0.98, width=0.3, seed=3)
    assert front.efficiency(nodepath.measure(lenet, X, masks)) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("method", ["erk", "synflow-npb", "npb"])
def test_hubs_and_dead_ends_cost_efficiency(lenet, front, method):
    masks = nodepath.prune(lenet, X, method, sparsity=0.98, on_collapse="warn")
    assert front.efficiency(nodepath.measure(lenet, X, masks)) < 0.97


@pytest.mark.parametrize("convention", ["exact", "paper"])
def test_no_point_is_beyond_the_bounds(lenet, convention):
    for sparsity in (0.5, 0.9, 0.99, 0.997):
        found = nodepath.frontier(lenet, X, sparsity=sparsity, points=4, convention=convention)
        assert all(point.nodes <= found.most_nodes for point in found.points)
        assert all(point.log10_paths <= found.most_log10_paths for point in found.points)
    assert (
        found.most_nodes < nodepath.measure(lenet, X, convention=convention).dense_nodes
    )  # 184 weights cannot write 236 outputs


def curve(*points: tuple[float, float]) -> Frontier:
    made = tuple(FrontierPoint(w / 10, int(w), w, p, 0.5) for p, w in points)
    return Frontier(10, 100, "exact", "pixel", made, 99, 99.0)


def test_width_between_points_is_interpolated_and_beaten_points_are_left_out():
    front = curve((8.0, 2.0), (6.0, 4.0), (5.0, 3.0), (2.0, 8.0))
    assert front.width_at(8.0) == 2.0
    assert front.width_at(7.0) == 3.0
    assert front.width_at(4.0) == 6.0
    assert front.width_at(0.0) == 8.0
    assert front.width_at(8.1) == 0.0


def test_efficiency_without_paths_and_beyond_the_curve(lenet):
    masks = nodepath.prune(lenet, X, "synflow", sparsity=0.98)
    topology = nodepath.measure(lenet, X, masks)
    narrow = Frontier(topology.kept, topology.prunable, "exact", "pixel", (FrontierPoint(1, 9, 9.0, 0.5, 0.5),), 9, 9.0)
    assert narrow.efficiency(topology) == math.inf
    nothing = {name: torch.zeros_like(mask) for name, mask in masks.items()}
    name, first = next(iter(nothing.items()))
    nothing[name] = torch.ones_like(first)
    dead = nodepath.measure(lenet, X, nothing)
    assert Frontier(dead.kept, dead.prunable, "exact", "pixel", narrow.points, 9, 9.0).efficiency(dead) == 0.0


def test_a_topology_of_another_budget_or_convention_is_refused(lenet, front):
    masks = nodepath.prune(lenet, X, "erk", sparsity=0.9)
    with pytest.raises(MaskMismatchError, match="the topology's kept is 6147, the frontier's 1229"):
        front.efficiency(nodepath.measure(lenet, X, masks))
    with pytest.raises(MaskMismatchError, match="the topology's convention is paper, the frontier's exact"):
        front.efficiency(nodepath.measure(lenet, X, masks, convention="paper"))


def test_arguments_that_make_no_sense(lenet):
    with pytest.raises(ArgumentError, match="points is 1"):
        nodepath.frontier(lenet, X, sparsity=0.9, points=1)
    with pytest.raises(ArgumentError, match="sparsity is 90"):
        nodepath.frontier(lenet, X, sparsity=90)
    with pytest.raises(BudgetError, match="keeps 0"):
        nodepath.frontier(lenet, X, sparsity=0.999999)


def test_the_model_is_left_as_it_was(lenet):
    before = {name: value.clone() for name, value in lenet.state_dict().items()}
    state = torch.get_rng_state()
    nodepath.frontier(lenet, X, sparsity=0.95, points=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in lenet.state_dict().items())


def test_layers_that_are_left_out_stay_dense(lenet):
    front = nodepath.frontier(lenet, X, sparsity=0.98, exclude="conv1.weight", points=6)
    assert front.kept == 150 + round(0.02 * (61_470 - 150))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masks = nodepath.prune(lenet, X, "npb-even", sparsity=0.98, exclude="conv1.weight")
    assert front.efficiency(nodepath.measure(lenet, X, masks)) == pytest.approx(1, abs=0.12)
