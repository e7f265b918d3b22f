"""Reachability and counts in one walk: right where the walk is enough, and where it is not."""

import math

import pytest
import torch
from modules import Wired
from torch import Tensor, nn

from nodepath import measure
from nodepath.errors import MaskMismatchError
from nodepath.paths import Network
from nodepath.paths.flow import flow
from nodepath.paths.reach import reach, without_dead_ends
from nodepath.paths.semantics import EXACT, PAPER
from nodepath.paths.survey import survey

X = torch.zeros(1, 3, 9, 9)


def convolutions() -> nn.Module:
    """Strides, pools, a skip and a flattened end: some channels are reached and wanted at some pixels only."""
    return Wired(
        lambda self, x: self.head(self.c(self.pool(self.b(self.a(x)) + self.skip(x))).flatten(1)),
        a=nn.Conv2d(3, 6, 3, padding=1),
        b=nn.Conv2d(6, 6, 3, padding=1, groups=2),
        skip=nn.Conv2d(3, 6, 1),
        pool=nn.MaxPool2d(2, 2),
        c=nn.Conv2d(6, 5, 3, stride=2, padding=1),
        head=nn.Linear(20, 4),
    )


def some(model: nn.Module, x: Tensor, seed: int, share: float) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {name: torch.rand(la.shape, generator=draw) < share for name, la in Network(model, x).layers.items()}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", [0.05, 0.15, 0.6])
@pytest.mark.parametrize("resolution", ["pixel", "channel"])
@pytest.mark.parametrize("semantics", [EXACT, PAPER])
def test_one_walk_finds_what_two_do(seed, share, resolution, semantics):
    model = convolutions()
    masks = some(model, X, seed, share)
    network = Network(model, X, resolution)
    alive, carried = survey(Network(model, X, resolution, read=False), masks, semantics)
    expected = reach(network, masks)
    paths = flow(network, without_dead_ends(network, masks, expected), semantics, weights=False)
    for name in network.layers:
        assert torch.equal(alive.weights[name], expected.weights[name])
        assert torch.equal(alive.outputs[name], expected.outputs[name])
        assert torch.equal(alive.inputs[name, 0], expected.inputs[name, 0])
        assert torch.allclose(carried.outputs[name], paths.outputs[name], rtol=1e-12, atol=0)
        assert torch.allclose(carried.inputs[name, 0], paths.inputs[name, 0], rtol=1e-12, atol=0)
    assert all(map(torch.equal, alive.sources, expected.sources))
    assert carried.log2_paths == pytest.approx(paths.log2_paths, rel=1e-12)


def test_counts_without_bound_where_nothing_arrives():
    """Behind a branch that is cut, there are more paths than a float64 holds; the other branch has few."""
    model = Wired(
        lambda self, x: self.a(x) + self.deep(self.cut(x)),
        a=nn.Linear(4, 16),
        cut=nn.Linear(4, 16),
        deep=nn.Sequential(*(nn.Linear(16, 16) for _ in range(300))),
    )
    masks = {"cut.weight": torch.zeros(16, 4, dtype=torch.bool)}
    topology = measure(model, torch.zeros(1, 4), masks)
    assert topology.log10_paths == pytest.approx(math.log10(64), rel=1e-12)
    assert topology.effective == 64
    assert topology.effective_width == pytest.approx(4 + 16)


def test_masks_given_are_not_written_into():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 49, 2))
    masks = {name: torch.ones(la.shape, dtype=torch.bool) for name, la in Network(model, X).layers.items()}
    versions = {name: mask._version for name, mask in masks.items()}
    for resolution in ("pixel", "channel"):
        alive = reach(Network(model, X, resolution), masks)
        assert all(torch.equal(alive.weights[name], masks[name]) for name in masks)
        measure(model, X, masks, resolution=resolution)
    assert all(masks[name]._version == version and bool(masks[name].all()) for name, version in versions.items())


# a network that is read on the way


def test_channel_resolution_reads_and_counts_in_one_run():
    runs = []
    model = convolutions()
    model.register_forward_pre_hook(lambda *_: runs.append(1))
    first = measure(model, X, resolution="channel")
    assert len(runs) == 2  # the second one counts the dense network
    again = measure(model, X, resolution="channel")
    assert len(runs) == 3
    assert first == again


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        ({"a.weight": torch.ones(2, 2, dtype=torch.bool)}, "has shape"),
        ({"nowhere": torch.ones(2, 2, dtype=torch.bool)}, "is no prunable weight"),
        ({"a.bias": torch.ones(6, dtype=torch.bool)}, "is no prunable weight"),
    ],
)
def test_masks_of_no_layer_are_refused_before_and_after_reading(masks, says):
    for resolution in ("pixel", "channel"):
        with pytest.raises(MaskMismatchError, match=says):
            measure(convolutions(), X, masks, resolution=resolution)


def test_channels_on_another_axis_than_usual():
    """Each pixel of a flattened image is a channel, which is known once the graph is."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 81, 5), nn.ReLU(), nn.Linear(5, 2))
    by_channel, by_pixel = (measure(model, X, resolution=resolution) for resolution in ("channel", "pixel"))
    assert by_channel.log10_paths == pytest.approx(math.log10(3 * 81 * 5 * 2), rel=1e-12)
    assert by_channel.nodes == by_pixel.nodes == 3 * 81 + 5 + 2


class Forgiving(nn.Module):
    """Swallows whatever its gate raises."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.gate = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        try:
            return x * torch.sigmoid(self.gate(x))
        except Exception:
            return x


def test_steering_is_not_overlooked_where_a_model_swallows_exceptions():
    model = Forgiving()
    by_channel, by_pixel = (measure(model, torch.zeros(1, 4), resolution=kind) for kind in ("channel", "pixel"))
    assert by_channel.effective == by_pixel.effective == 32
    assert by_channel.control == by_pixel.control == 16
