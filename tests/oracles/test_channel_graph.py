"""Channel resolution on random small networks, against a graph whose vertices are channels."""

import math
import operator

import pytest
import torch
import torch.nn.functional as F
from channel_graph import channel_graph
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import image_networks, masks_for, vector_networks
from program import Program
from torch import Tensor, nn

from nodepath import MaskSet, effective, measure
from nodepath.paths import path_shares

SETTINGS = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck), derandomize=True)


def log10(count: int) -> float:
    return math.log10(count) if count else -math.inf


def live_weights(program: Program, masks: dict[str, Tensor], resolution: str) -> set[tuple[str, int]]:
    found = effective(program, program.example(), MaskSet(masks), resolution=resolution)
    return {(name, i) for name, mask in found.items() for i in mask.flatten().nonzero().flatten().tolist()}


def check(program: Program, masks: dict[str, Tensor]) -> None:
    truth, dense = channel_graph(program, masks), channel_graph(program, {})
    assert live_weights(program, masks, "channel") == {weight for weight in truth.effective if weight[0] in masks}
    for convention in ("exact", "paper"):
        topology = measure(program, program.example(), masks, convention=convention, resolution="channel")
        nodes = truth.nodes(convention)
        assert topology.resolution == "channel"
        assert topology.log10_paths == pytest.approx(log10(truth.paths), rel=1e-9, abs=1e-9)
        assert topology.dense_log10_paths == pytest.approx(log10(dense.paths), rel=1e-9, abs=1e-9)
        assert topology.effective == len(truth.effective)
        assert topology.nodes == sum(map(len, nodes.values()))
        assert topology.dense_nodes >= topology.nodes
        assert topology.effective_width == pytest.approx(sum(truth.effective_widths(convention)), rel=1e-9)
        for layer in topology.layers:
            assert layer.effective == sum(name == layer.name for name, _ in truth.effective)
            assert layer.nodes == sum(len(group) for (name, _), group in nodes.items() if name == layer.name)
    check_shares(program, masks)


def check_shares(program: Program, masks: dict[str, Tensor]) -> None:
    truth = channel_graph(program, masks)
    expected = {name: torch.zeros(weight.numel(), dtype=torch.float64) for name, weight in program.weights.items()}
    for edge in truth.edges:
        expected[edge.weight[0]][edge.weight[1]] += truth.through(edge) / max(truth.paths, 1)
    found = path_shares(program, program.example(), masks, of="weight", resolution="channel")
    for name, shares in found.items():
        assert torch.allclose(shares.flatten(), expected[name], rtol=1e-9, atol=0), name


@st.composite
def token_mixing_networks(draw):
    """Linear layers over the features of tokens, and over tokens, with skips."""
    tokens, features = draw(st.integers(2, 3)), draw(st.integers(1, 3))
    program = Program(tokens, features, channel_axis=-1)
    at, _ = program.layer(0, nn.Linear(features, draw(st.integers(1, 3))))
    for kind in draw(st.lists(st.sampled_from(["features", "tokens", "skip", "some"]), min_size=1, max_size=4)):
        tokens, features = program.shapes[at]
        if kind == "features":
            at, _ = program.layer(program.function(at, F.relu), nn.Linear(features, draw(st.integers(1, 3))))
        elif kind == "some" and tokens > 1:
            at = program.function(at, lambda x: x[:, 1:])
        elif kind == "tokens":
            at = _mixed(program, at, draw(st.integers(1, 3)))
        elif kind == "skip":
            mixed = _mixed(program, program.norm(at, nn.LayerNorm(features)), tokens)
            at = program.join(mixed, at, run=operator.add)
    if draw(st.booleans()):
        at = program.function(at, lambda x: x.mean(1))
    elif draw(st.booleans()):
        at = program.function(at, lambda x: x.flatten(1))
    program.layer(at, nn.Linear(program.shapes[at][-1], 2))
    return program


def _mixed(program: Program, at: int, outputs: int) -> int:
    turned = program.function(at, lambda x: x.transpose(1, 2))
    mixed, _ = program.layer(turned, nn.Linear(program.shapes[at][0], outputs))
    return program.function(mixed, lambda x: x.transpose(1, 2))


@SETTINGS
@given(st.data())
def test_convolutional_networks_are_counted_exactly(data):
    program = data.draw(image_networks())
    check(program, data.draw(masks_for(program)))


@SETTINGS
@given(st.data())
def test_linear_networks_are_counted_exactly(data):
    program = data.draw(vector_networks())
    check(program, data.draw(masks_for(program)))


@SETTINGS
@given(st.data())
def test_a_linear_over_tokens_takes_tokens_for_channels(data):
    program = data.draw(token_mixing_networks())
    check(program, data.draw(masks_for(program)))


@SETTINGS
@given(st.data())
def test_linear_networks_differ_from_pixel_resolution_by_their_tokens_alone(data):
    program = data.draw(vector_networks())
    masks = data.draw(masks_for(program))
    pixel, channel = (measure(program, program.example(), masks, resolution=r) for r in ("pixel", "channel"))
    tokens = program.shapes[0][0] if program.channel_axis == -1 else 1
    assert pixel.log10_paths == pytest.approx(channel.log10_paths + math.log10(tokens), rel=1e-9, abs=1e-9)
    assert pixel.effective_width == pytest.approx(channel.effective_width, rel=1e-9)
    assert (pixel.nodes, pixel.effective, pixel.macs) == (channel.nodes, channel.effective, channel.macs)
    assert live_weights(program, masks, "pixel") == live_weights(program, masks, "channel")


@SETTINGS
@given(st.data())
def test_what_lives_from_pixel_to_pixel_lives_from_channel_to_channel(data):
    """And more: a cell that only ever sees padding is an edge between two channels all the same."""
    program = data.draw(image_networks())
    masks = data.draw(masks_for(program))
    assert live_weights(program, masks, "pixel") <= live_weights(program, masks, "channel")
    pixel, channel = (measure(program, program.example(), masks, resolution=r) for r in ("pixel", "channel"))
    assert pixel.nodes <= channel.nodes
    assert (pixel.kept, pixel.macs, pixel.dense_nodes) == (channel.kept, channel.macs, channel.dense_nodes)


# by hand: the oracle itself, and nodepath with it


def mask(*rows: list[int], cells: tuple[int, ...] = ()) -> Tensor:
    flat = torch.tensor(rows, dtype=torch.bool)
    return flat.reshape(*flat.shape, *(1 for _ in cells)).expand(*flat.shape, *cells).clone()


def counted(program: Program, **masks: Tensor) -> int:
    """By the graph of channels, which nodepath agrees with."""
    named = {f"layers.{name}.weight": each for name, each in masks.items()}
    check(program, named)
    return channel_graph(program, named).paths


def test_kept_cells_of_a_kernel_are_parallel_edges():
    program = Program(2, 5, 5)
    program.layer(0, nn.Conv2d(2, 3, 3))
    assert counted(program) == 2 * 3 * 9
    kept = mask([1, 0], [0, 1], [0, 0], cells=(3, 3))
    kept[0, 0, 0] = False
    assert counted(program, layer0=kept) == 6 + 9


@pytest.mark.parametrize("side", [1, 2, 3])
def test_cells_that_only_ever_see_padding_count(side):
    program = Program(1, side, side)
    program.layer(0, nn.Conv2d(1, 1, 3, padding=1))
    assert counted(program) == 9


@pytest.mark.parametrize("side", [1, 2, 3])
def test_pixels_that_pooling_padding_or_resizing_adds_are_one_with_the_others(side):
    for grow in (nn.AdaptiveAvgPool2d(4), nn.ZeroPad2d(1), nn.Upsample(size=4), nn.MaxPool2d(1, padding=0)):
        program = Program(1, side, side)
        at = program.function(program.layer(0, nn.Conv2d(1, 2, 1))[0], grow)
        program.function(program.layer(at, nn.Conv2d(2, 1, 3, padding=1))[0], nn.AdaptiveAvgPool2d(1))
        assert counted(program) == 2 * 9


def test_a_kernel_that_is_used_twice_is_counted_at_each_use():
    program = Program(2, 5, 5)
    at, name = program.layer(0, nn.Conv2d(2, 2, 3, padding=1))
    program.again(at, name)
    assert counted(program) == 2 * (2 * 9) * (2 * 9)
    kept = mask([1, 0], [1, 0], cells=(3, 3))
    assert counted(program, layer0=kept) == 9 * (9 + 9)


def test_neither_stride_dilation_nor_padding_matters():
    for options in ({}, {"stride": 2}, {"dilation": 2, "padding": 3}):
        program = Program(1, 7, 7)
        program.layer(program.layer(0, nn.Conv2d(1, 2, 3, **options))[0], nn.Conv2d(2, 1, 1))
        assert counted(program) == 18


def test_groups_connect_their_own_channels():
    program = Program(4, 5)
    program.layer(0, nn.Conv1d(4, 6, 3, groups=2))
    assert counted(program) == 2 * (2 * 3) * 3
    program = Program(4, 5)
    program.layer(program.layer(0, nn.Conv1d(4, 4, 3, groups=4))[0], nn.Conv1d(4, 1, 1))
    assert counted(program, layer1=mask([1, 0, 0, 1], cells=(1,))) == 3 + 3


def test_a_transposed_kernel_is_read_the_other_way_round():
    program = Program(2, 3)
    program.layer(0, nn.ConvTranspose1d(2, 3, 2, stride=2))
    kept = mask([1, 0, 0], [1, 1, 0], cells=(2,))
    program.layer(1, nn.Conv1d(3, 1, 1))
    assert counted(program, layer0=kept, layer1=mask([1, 0, 0], cells=(1,))) == 4
    assert counted(program, layer0=kept, layer1=mask([0, 1, 1], cells=(1,))) == 2


def test_features_inherit_the_count_of_their_channel_and_keep_all_their_weights():
    program = Program(1, 2, 2)
    at, _ = program.layer(0, nn.Conv2d(1, 2, 1))
    program.layer(program.function(at, nn.Flatten()), nn.Linear(8, 3))
    assert counted(program) == 8 * 3
    one_cut = mask([1], [0], cells=(1, 1))
    assert counted(program, layer0=one_cut) == 4 * 3
    three = mask([1, 0, 0, 0, 1, 1, 0, 0], [0] * 8, [0] * 8)
    assert counted(program, layer0=one_cut, layer1=three) == 1


def test_a_skip_adds_its_paths_and_pools_hand_them_on():
    program = Program(2, 4, 4)
    at, _ = program.layer(0, nn.Conv2d(2, 2, 3, padding=1))
    at = program.join(at, 0, run=torch.add)
    at = program.function(program.function(at, nn.AvgPool2d(2)), nn.MaxPool2d(2))
    assert counted(program) == 2 * 2 * 9 + 2
    assert counted(program, layer0=mask([0, 0], [0, 0], cells=(3, 3))) == 2


def test_channels_of_width_one_stay_apart_when_they_are_laid_side_by_side():
    """Each reader of one of them gets its own paths, not those of both."""
    program = Program(1, 3, 3)
    at, _ = program.layer(0, nn.Conv2d(1, 1, 3, padding=1))
    at = program.join(at, program.layer(at, nn.Conv2d(1, 1, 3, padding=1))[0], run=lambda *x: torch.cat(x, 1))
    program.layer(at, nn.Conv2d(2, 1, 1))
    assert counted(program) == 9 + 81
    assert counted(program, layer2=mask([1, 0], cells=(1, 1))) == 9
