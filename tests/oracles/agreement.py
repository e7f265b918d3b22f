"""What nodepath says of a network, beside what the unrolled network says."""

import math

import pytest
from hypothesis import HealthCheck, Phase, settings
from program import Program
from torch import Tensor
from unrolled import unroll

from nodepath import MaskSet, Topology, effective, measure


def thorough(examples: int) -> settings:
    """The same random networks every time; not shrunk, which would take minutes."""
    return settings(
        deadline=None,
        max_examples=examples,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
    )


def log10(count: int) -> float:
    return math.log10(count) if count else -math.inf


def check(program: Program, masks: dict[str, Tensor], x: object = None, *, maximum: bool = True) -> None:
    """Weights, nodes, paths, widths and controls agree.

    Args:
        program: The network.
        masks: Parameter name -> bool.
        x: Example input, if not zeros of the program's shapes.
        maximum: It has a true maximum in the papers' convention, hence no shares of paths to compare with.
    """
    x = program.example() if x is None else x
    truth, dense = unroll(program, masks), unroll(program, {})

    found = effective(program, x, MaskSet(masks))
    live = {(name, i) for name, mask in found.items() for i in mask.flatten().nonzero().flatten().tolist()}
    assert live == {(name, weight) for name, weight in truth.effective if name in masks}

    for convention in ("exact", "paper"):
        topology = measure(program, x, masks, convention=convention)
        paper = convention == "paper"
        assert topology.effective == len(truth.effective)
        assert topology.control == len(truth.control)
        assert topology.log10_paths == pytest.approx(log10(truth.paths(paper=paper)), rel=1e-9, abs=1e-9)
        assert topology.dense_log10_paths == pytest.approx(log10(dense.paths(paper=paper)), rel=1e-9, abs=1e-9)
        assert topology.nodes == sum(map(len, truth.nodes(convention).values()))
        assert topology.control_nodes == truth.control_nodes(convention)
        if not (paper and maximum):
            widths = truth.effective_widths(convention)
            assert topology.effective_width == pytest.approx(sum(widths), rel=1e-9)
            _check_position(topology, truth.paths(paper=paper), widths)
        for layer in topology.layers:
            assert layer.shortcut == (layer.name in program.shortcuts)
            assert layer.effective == sum(name == layer.name for name, _ in truth.effective)


def _check_position(topology: Topology, paths: int, widths: list[float]) -> None:
    if not paths:
        assert math.isnan(topology.position)
    elif paths > 1:  # a single path stands nowhere: 0 / 0
        spread = sum(map(math.log, widths))
        assert topology.position == pytest.approx(1 / (1 + spread / math.log(paths)), abs=1e-9)
