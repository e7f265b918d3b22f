"""Shares of all paths, against lists of all paths."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from modules import Wired
from torch import Tensor, nn

from nodepath import measure
from nodepath.errors import ArgumentError, MaskMismatchError
from nodepath.paths import path_shares

RESOLUTIONS = ("pixel", "channel")


@dataclass(frozen=True)
class Crossing:
    """A path crosses a weight.

    Attributes:
        weight: Parameter name and index.
        inputs, outputs: Numbers of the units that it connects.
    """

    weight: tuple[str, tuple[int, ...]]
    start: int
    end: int


def linear_crossings(name: str, mask: Tensor) -> list[Crossing]:
    return [Crossing((name, (o, i)), i, o) for o, i in mask.nonzero().tolist()]


def conv1d_crossings(name: str, mask: Tensor, length: int) -> list[Crossing]:
    """Without padding and stride: units are channel * length + pixel."""
    outputs, inputs, cells = mask.shape
    made = length - cells + 1
    return [
        Crossing((name, (o, i, k)), i * length + p + k, o * made + p)
        for o, i, k in itertools.product(range(outputs), range(inputs), range(cells))
        if mask[o, i, k]
        for p in range(made)
    ]


def chains(layers: list[list[Crossing]], unit: int) -> Iterator[tuple[Crossing, ...]]:
    """All paths from a unit on, one by one."""
    if not layers:
        yield ()
        return
    for crossing in layers[0]:
        if crossing.start == unit:
            for rest in chains(layers[1:], crossing.end):
                yield crossing, *rest


def random_mask(*shape: int, seed: int, density: float = 0.6) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density


def listed(paths: list[tuple[Crossing, ...]], shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Share of the paths that cross each weight."""
    often = Counter(crossing.weight for path in paths for crossing in path)
    shares = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    for (name, index), number in often.items():
        shares[name][index] = number / len(paths)
    return shares


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def perceptron_masks(seed: int) -> dict[str, Tensor]:
    shapes = {"0.weight": (3, 4), "2.weight": (4, 3), "4.weight": (2, 4)}
    return {name: random_mask(*shape, seed=seed + i) for i, (name, shape) in enumerate(shapes.items())}


def paths_of_perceptron(masks: dict[str, Tensor]) -> list[tuple[Crossing, ...]]:
    layers = [linear_crossings(name, mask) for name, mask in masks.items()]
    return [path for unit in range(4) for path in chains(layers, unit)]


def convolutions() -> nn.Sequential:
    """On 2 channels of 5 pixels."""
    return nn.Sequential(nn.Conv1d(2, 3, 2), nn.ReLU(), nn.Conv1d(3, 2, 3), nn.Flatten(), nn.Linear(4, 3))


def convolution_masks(seed: int) -> dict[str, Tensor]:
    shapes = {"0.weight": (3, 2, 2), "2.weight": (2, 3, 3), "4.weight": (3, 4)}
    return {name: random_mask(*shape, seed=seed + i) for i, (name, shape) in enumerate(shapes.items())}


def shapes_of(masks: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(mask.shape) for name, mask in masks.items()}


def close(found: Tensor, expected: Tensor) -> bool:
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-12, atol=1e-15)


# against all paths


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_shares_in_a_perceptron_are_those_of_all_paths(resolution, seed):
    masks = perceptron_masks(seed)
    paths = paths_of_perceptron(masks)
    assert len(paths) > 10
    expected = listed(paths, shapes_of(masks))

    def shares(of: str) -> dict[str, Tensor]:
        return path_shares(perceptron(), torch.zeros(1, 4), masks, of=of, resolution=resolution)

    nodes = shares("node")
    assert list(nodes) == ["input", *masks]
    assert close(nodes["input"], expected["0.weight"].sum(0))
    for name, weights in expected.items():
        assert close(shares("weight")[name], weights)
        assert close(shares("kernel")[name], weights)
        assert close(nodes[name], weights.sum(1))
        assert close(shares("layer")[name], torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(3))
def test_shares_from_pixel_to_pixel_are_those_of_all_paths(seed):
    masks = convolution_masks(seed)
    layers = [
        conv1d_crossings("0.weight", masks["0.weight"], 5),
        conv1d_crossings("2.weight", masks["2.weight"], 4),
        linear_crossings("4.weight", masks["4.weight"]),
    ]
    paths = [path for unit in range(10) for path in chains(layers, unit)]
    check_convolutions("pixel", masks, paths)


@pytest.mark.parametrize("seed", range(3))
def test_shares_from_channel_to_channel_are_those_of_all_paths(seed):
    """A channel is one unit, and a feature is a unit of its channel, of 2 pixels each."""
    masks = convolution_masks(seed)
    kernels = [
        [Crossing((name, (o, i, k)), i, o) for o, i, k in masks[name].nonzero().tolist()]
        for name in ("0.weight", "2.weight")
    ]
    features = [Crossing(c.weight, c.start // 2, c.end) for c in linear_crossings("4.weight", masks["4.weight"])]
    paths = [path for unit in range(2) for path in chains([*kernels, features], unit)]
    check_convolutions("channel", masks, paths)


def check_convolutions(resolution: str, masks: dict[str, Tensor], paths: list[tuple[Crossing, ...]]) -> None:
    assert len(paths) > 10
    expected = listed(paths, shapes_of(masks))

    def shares(of: str) -> dict[str, Tensor]:
        return path_shares(convolutions(), torch.zeros(1, 2, 5), masks, of=of, resolution=resolution)

    nodes = shares("node")
    assert close(nodes["input"], expected["0.weight"].sum((0, 2)))
    for name, weights in expected.items():
        assert close(shares("weight")[name], weights)
        assert close(shares("kernel")[name], weights.flatten(2).sum(2) if weights.ndim > 2 else weights)
        assert close(nodes[name], weights.flatten(1).sum(1))
        assert shares("layer")[name].item() == pytest.approx(1)


def test_each_input_has_shares_of_its_own():
    model = Wired(lambda self, a, b: self.a(a) + self.b(b), a=nn.Linear(3, 2), b=nn.Linear(2, 2))
    found = path_shares(model, (torch.zeros(1, 3), torch.zeros(1, 2)))
    assert list(found) == ["input", "input1", "a.weight", "b.weight"]
    assert close(found["input"], torch.full((3,), 0.2, dtype=torch.float64))
    assert close(found["input1"], torch.full((2,), 0.2, dtype=torch.float64))
    assert found["a.weight"].sum().item() == pytest.approx(0.6)
    assert found["b.weight"].sum().item() == pytest.approx(0.4)


# sums


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_layers_of_a_chain_have_all_paths(resolution):
    found = path_shares(convolutions(), torch.zeros(1, 2, 5), of="layer", resolution=resolution)
    assert {name: share.item() for name, share in found.items()} == pytest.approx(dict.fromkeys(found, 1.0))
    nodes = path_shares(convolutions(), torch.zeros(1, 2, 5), resolution=resolution)
    assert len(nodes) == 4
    for shares in nodes.values():
        assert shares.sum().item() == pytest.approx(1)


class Skip(nn.Module):
    """x + second(first(x)), then a head: of n channels, (1 + 9n * 9n) ways on from each, in channel resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(2, 2, 3, padding=1) for _ in range(2))
        self.head = nn.Conv2d(2, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.second(F.relu(self.first(x))))


def test_layers_beside_a_skip_have_less():
    by_channel = path_shares(Skip(), torch.zeros(1, 2, 4, 4), of="layer", resolution="channel")
    assert by_channel["first.weight"].item() == pytest.approx(18 * 18 / (18 * 18 + 1))
    assert by_channel["first.weight"].item() == by_channel["second.weight"].item()
    assert by_channel["head.weight"].item() == pytest.approx(1)
    by_pixel = path_shares(Skip(), torch.zeros(1, 2, 4, 4), of="layer")
    assert 0 < by_pixel["first.weight"].item() < 1
    assert by_pixel["head.weight"].item() == pytest.approx(1)


def test_a_layer_that_is_used_twice_counts_a_path_twice():
    model = Wired(lambda self, x: self.inner(F.relu(self.inner(x))), inner=nn.Linear(3, 3))
    assert path_shares(model, torch.zeros(1, 3), of="layer")["inner.weight"].item() == pytest.approx(2)
    weights = path_shares(model, torch.zeros(1, 3), of="weight")["inner.weight"]
    assert close(weights, torch.full((3, 3), 2 / 9, dtype=torch.float64))


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("layer", [nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3, groups=2)])
def test_a_kernel_has_the_shares_of_its_weights(layer, resolution):
    model, x = nn.Sequential(nn.Conv2d(3, 4, 1), layer, nn.Conv2d(6, 1, 1)), torch.zeros(1, 3, 5, 5)
    masks = {"1.weight": random_mask(*layer.weight.shape, seed=7)}
    weights, kernels, nodes, layers = (
        path_shares(model, x, masks, of=of, resolution=resolution)["1.weight"]
        for of in ("weight", "kernel", "node", "layer")
    )
    assert weights.shape == layer.weight.shape
    assert kernels.shape == layer.weight.shape[:2]
    assert nodes.shape == (6,)
    assert layers.shape == ()
    assert close(kernels, weights.sum((2, 3)))
    assert weights.sum().item() == pytest.approx(1)
    assert bool((weights[masks["1.weight"]] > 0).all())
    assert not weights[~masks["1.weight"]].any()
    by_output = kernels.sum(1) if not layer.transposed else kernels.reshape(2, 2, 3).sum(1).flatten()
    assert close(nodes, by_output)


def test_what_only_steers_has_no_share():
    model = Wired(
        lambda self, x: self.value(x) * torch.sigmoid(self.gate(x)), value=nn.Linear(3, 2), gate=nn.Linear(3, 2)
    )
    for of in ("layer", "node", "kernel", "weight"):
        found = path_shares(model, torch.zeros(1, 3), of=of)
        assert found["value.weight"].sum().item() == pytest.approx(1)
        assert not found["gate.weight"].any()


def test_effective_width_is_the_entropy_of_the_nodes_shares():
    masks = convolution_masks(5)
    for resolution in RESOLUTIONS:
        nodes = path_shares(convolutions(), torch.zeros(1, 2, 5), masks, resolution=resolution)
        topology = measure(convolutions(), torch.zeros(1, 2, 5), masks, resolution=resolution)
        widths = [math.exp(-sum(s * math.log(s) for s in shares.tolist() if s)) for shares in nodes.values()]
        assert topology.effective_width == pytest.approx(sum(widths), rel=1e-12)
        assert [layer.effective_width for layer in topology.layers] == pytest.approx(widths[1:], rel=1e-12)


# no path, and mistakes


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("of", ["layer", "node", "kernel", "weight"])
def test_without_a_path_all_shares_are_zero(of, resolution):
    masks = {"2.weight": torch.zeros(2, 3, 3, dtype=torch.bool)}
    dense = path_shares(convolutions(), torch.zeros(1, 2, 5), of=of, resolution=resolution)
    empty = path_shares(convolutions(), torch.zeros(1, 2, 5), masks, of=of, resolution=resolution)
    assert list(empty) == list(dense)
    for name, shares in empty.items():
        assert shares.shape == dense[name].shape
        assert shares.dtype == torch.float64
        assert not shares.any()
        assert dense[name].any()


@pytest.mark.parametrize("of", ["kernel", "weight", "node"])
def test_shares_are_the_callers_own_to_write_into(of):
    for masks in (None, {"2.weight": torch.zeros(2, 3, 3, dtype=torch.bool)}):
        for shares in path_shares(convolutions(), torch.zeros(1, 2, 5), masks, of=of).values():
            shares.add_(torch.ones_like(shares))
            assert float(shares.min()) >= 1


@pytest.mark.parametrize("of", ["channel", "", "Layer", "weights"])
def test_another_grouping_is_refused_by_name(of):
    with pytest.raises(ArgumentError, match=f"of is '{of}'; choose one of layer, node, kernel, weight"):
        path_shares(perceptron(), torch.zeros(1, 4), of=of)


def test_a_mask_of_another_shape_and_another_resolution_are_refused():
    with pytest.raises(MaskMismatchError, match=r"'0\.weight' has shape"):
        path_shares(perceptron(), torch.zeros(1, 4), {"0.weight": torch.ones(1, 4, dtype=torch.bool)})
    with pytest.raises(ArgumentError, match="resolution is 'voxel'"):
        path_shares(perceptron(), torch.zeros(1, 4), resolution="voxel")


def test_shares_of_a_network_whose_count_passes_all_floats_are_finite():
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(400)))
    found = path_shares(model, torch.zeros(1, 8), of="weight", resolution="channel")
    assert close(found["200.weight"], torch.full((8, 8), 1 / 64, dtype=torch.float64))
    assert close(found["399.weight"], found["0.weight"])


@pytest.mark.parametrize("resolution", ["pixel", "channel"])
def test_matrices_that_are_read_in_pieces(resolution):
    draw = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(700, 1500), nn.Linear(1500, 3))
    first, second = (torch.rand(layer.weight.shape, generator=draw) < 0.2 for layer in model)
    found = path_shares(model, torch.zeros(1, 700), {"0.weight": first, "1.weight": second}, resolution=resolution)
    arriving, wanted = first.double().sum(1), second.double().sum(0)
    total = arriving @ wanted
    assert torch.allclose(found["input"], wanted @ first.double() / total, rtol=1e-12, atol=0)
    assert torch.allclose(found["0.weight"], arriving * wanted / total, rtol=1e-12, atol=0)
    assert torch.allclose(found["1.weight"], second.double() @ arriving / total, rtol=1e-12, atol=0)
