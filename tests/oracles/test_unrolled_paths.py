"""Paths, nodes and effectiveness of random small networks, against counting unit by unit."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import image_networks, masks_for, vector_networks
from torch.utils.flop_counter import FlopCounterMode
from unrolled import Program, unroll

from nodepath import MaskSet, effective, measure

SETTINGS = settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck), derandomize=True)


def log10(count: int) -> float:
    return math.log10(count) if count else -math.inf


def check(program: Program, masks: dict[str, torch.Tensor]) -> None:
    x = torch.zeros(1, *program.shapes[0])
    truth, topology = unroll(program, masks), measure(program, x, masks)
    assert topology.log10_paths == pytest.approx(log10(truth.paths()), abs=1e-9)
    assert topology.dense_log10_paths == pytest.approx(log10(unroll(program, {}).paths()), abs=1e-9)

    found = effective(program, x, MaskSet(masks))
    assert {(n, i) for n, mask in found.items() for i in mask.flatten().nonzero().flatten().tolist()} == {
        (name, weight) for name, weight in truth.effective if name in masks
    }
    assert topology.effective == len(truth.effective)
    for layer in topology.layers:
        assert layer.effective == sum(name == layer.name for name, _ in truth.effective)
        assert layer.shortcut == (layer.name in program.shortcuts)

    widths = truth.effective_widths("exact")
    assert topology.effective_width == pytest.approx(sum(widths), rel=1e-9)
    assert topology.nodes == sum(map(len, truth.nodes("exact").values()))
    if not truth.paths():
        assert math.isnan(topology.position)
    elif truth.paths() > 1:  # a single path stands nowhere: 0 / 0
        spread = sum(map(math.log, widths))
        assert topology.position == pytest.approx(1 / (1 + spread / math.log(truth.paths())), abs=1e-9)

    paper = measure(program, x, masks, convention="paper")
    assert paper.log10_paths == pytest.approx(log10(truth.paths(paper=True)), abs=1e-9)
    assert paper.nodes == sum(map(len, truth.nodes("paper").values()))
    assert paper.effective == topology.effective


def check_macs(program: Program) -> None:
    x = torch.zeros(1, *program.shapes[0])
    with FlopCounterMode(display=False) as counter:
        program.eval()(x)
    topology = measure(program, x)
    assert 2 * topology.macs == 2 * topology.dense_macs == counter.get_total_flops()


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
@given(image_networks())
def test_multiply_adds_are_half_of_torchs_flops(program):
    check_macs(program)


@SETTINGS
@given(st.data())
def test_effective_width_of_paper_nodes_is_the_entropy_of_their_shares(data):
    program = data.draw(image_networks(maximum=False))  # a true maximum has no share of paths to compare with
    masks = data.draw(masks_for(program))
    topology = measure(program, torch.zeros(1, *program.shapes[0]), masks, convention="paper")
    truth = unroll(program, masks).effective_widths("paper")
    assert topology.effective_width == pytest.approx(sum(truth), rel=1e-9)


@SETTINGS
@given(st.data())
def test_macs_of_masks_count_each_weight_where_it_is_used(data):
    program = data.draw(image_networks())
    masks = data.draw(masks_for(program))
    topology = measure(program, torch.zeros(1, *program.shapes[0]), masks)
    dense = {
        layer.name: layer.macs // layer.prunable
        for layer in measure(program, torch.zeros(1, *program.shapes[0])).layers
    }
    assert topology.macs == sum(layer.kept * dense[layer.name] for layer in topology.layers)
    assert topology.effective_macs == sum(layer.effective * dense[layer.name] for layer in topology.layers)
