"""Flow over a course that is laid out once, against a walk through the model each time."""

from collections.abc import Callable

import pytest
import torch
from agreement import thorough
from attention_networks import attention_networks
from gated_networks import gated_networks
from hypothesis import given
from hypothesis import strategies as st
from networks import image_networks, vector_networks
from program import Program
from shaped_networks import shaped_networks
from torch import Tensor

from nodepath.paths import Network
from nodepath.paths.flow import Flow, flow
from nodepath.paths.replay.course import course
from nodepath.paths.replay.edges import Edges
from nodepath.paths.replay.recording import record
from nodepath.paths.replay.sweep import Sweep
from nodepath.paths.semantics import EXACT, FLOW, Semantics

RESOLUTIONS = st.sampled_from(["pixel", "channel"])


def drawn(network: Network, seed: int, density: float) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, weight in network.weights().items():
        sizes = torch.rand(weight.shape, generator=generator, dtype=torch.float64) + 0.1
        found[name] = sizes * (torch.rand(weight.shape, generator=generator) < density)
    return found


def swept(
    network: Network, weights: dict[str, Tensor], semantics: Semantics, *, forget: bool
) -> dict[str, Tensor] | None:
    """Shares of all paths over a course; None for a network that is not laid out."""
    recording = record(network, semantics)
    if recording is None:
        return None
    flowing = course(recording, network.layers)
    half = list(network.layers.values())[::2]
    rest = [layer for layer in network.layers.values() if layer not in half]
    edges, fixed = (Edges.of(layers, weights, torch.float64) for layers in (half, rest))
    sweep = Sweep(flowing, edges, fixed, torch.ones_like(flowing.pinned))
    sweep.calibrate()
    sweep.run()
    if forget and sweep.total > 0:
        sweep = sweep.without(sweep.live_labels())
        sweep.run()
    return {name: block.filled(block.view(sweep.edges.shares)) for name, block in sweep.edges.blocks.items()}


def check(program: Program, semantics: Semantics, resolution: str, seed: int, density: float, *, forget: bool) -> bool:
    network = Network(program.eval(), program.example(), resolution)
    weights = drawn(network, seed, density)
    found = swept(network, weights, semantics, forget=forget)
    if found is None:
        return False
    expected: Flow = flow(network, weights, semantics)
    for name, shares in found.items():
        assert torch.allclose(shares, expected.weights[name], rtol=1e-9, atol=1e-13), name
    return True


NETWORKS = {
    "images": image_networks,
    "vectors": vector_networks,
    "shapes": shaped_networks,
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("semantics", [FLOW, EXACT])
def test_shares_are_those_of_a_walk(kind: str, forget: bool, semantics: Semantics) -> None:
    laid_out = []

    @thorough(60)
    @given(NETWORKS[kind](), RESOLUTIONS, st.integers(0, 99), st.sampled_from([1.0, 0.7, 0.3]), st.booleans())
    def run(program: Program, resolution: str, seed: int, density: float, by_numpy: bool) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name in () if by_numpy else ("small_layers._SMALL", "small_layers._SMALL_VECTOR", "between._SMALL"):
                patch.setattr(f"nodepath.paths.replay.{name}", 0)
            laid_out.append(check(program, semantics, resolution, seed, density, forget=forget))

    run()
    assert any(laid_out)


@pytest.mark.parametrize("kind", [gated_networks, attention_networks])
def test_what_steers_is_not_laid_out_or_is_right(kind: Callable[[], st.SearchStrategy[Program]]) -> None:
    @thorough(40)
    @given(kind(), RESOLUTIONS, st.integers(0, 99))
    def run(program: Program, resolution: str, seed: int) -> None:
        check(program, FLOW, resolution, seed, 0.7, forget=True)

    run()
