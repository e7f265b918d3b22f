"""How the number of paths depends on each weight, kept or not: asked thousands of times of one network."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from nodepath.errors import NonFiniteError
from nodepath.methods.problem import Problem
from nodepath.paths import Network
from nodepath.paths.replay.course import course
from nodepath.paths.replay.edges import Edges
from nodepath.paths.replay.recording import record
from nodepath.paths.replay.sweep import Sweep
from nodepath.paths.semantics import EXACT
from nodepath.paths.site import Passing, given

__all__ = ["Slopes", "slopes_of", "walked_slopes"]

Slopes = Callable[[], tuple[Tensor, bool]]
"""-> the slope of log R in each weight of the edges held, zeros where no path is left; and whether there is any."""

_RECALIBRATED = 200
"""After so many passes exponents are chosen anew; a kept weight moves at most so often in between."""


def slopes_of(problem: Problem) -> tuple[Edges, Slopes]:
    """Edges of a problem's layers, one each, and what tells how the log of all paths depends on them.

    By a course that is laid out once; by a walk through the model where its paths depend on what flows.

    Args:
        problem: The task; layers that may not be pruned stay dense.

    Cost: of each question, one forward and one backward pass of one sample in float64, between places that differ.
    """
    network, included = problem.network, set(problem.included)
    ones = {name: torch.ones_like(weight) for name, weight in problem.weights.items()}
    dtype = EXACT.dtype(network.device)
    edges = Edges.of(problem.layers, ones, dtype)
    recording = record(network, EXACT)
    if recording is None:
        return edges, walked_slopes(network, edges)
    fixed = Edges.of([layer for name, layer in network.layers.items() if name not in included], ones, dtype)
    flowing = course(recording, network.layers)
    return edges, _swept_slopes(Sweep(flowing, edges, fixed, torch.ones_like(flowing.pinned)))


def walked_slopes(network: Network, edges: Edges) -> Slopes:
    """By a walk through the model each time."""

    def ask() -> tuple[Tensor, bool]:
        held = {name: block.filled(block.view(edges.held)) for name, block in edges.blocks.items()}
        note = _TakenDown(edges)
        with torch.inference_mode(mode=False), network.at_rest(), torch.enable_grad():
            arrival = network.send(EXACT, given(held), note)
            arrival.slopes()
        total = arrival.counts.detach().item()
        _check(total)
        if total == 0:
            return edges.shares.zero_(), False
        return edges.shares.copy_(note.slopes).div_(total), True

    return ask


class _TakenDown:
    """Takes down the slope of all paths in each weight."""

    def __init__(self, edges: Edges) -> None:
        self.edges = edges
        self.slopes = torch.zeros_like(edges.held)

    def __call__(self, name: str, passing: Passing) -> None:
        """See `Note`."""
        if name not in self.edges.blocks:
            return
        block = self.edges.blocks[name]
        slope = passing.geometry.touch(passing.slope, passing.counts)
        if len(slope) != block.layer.shape[0]:  # a part of a packed projection
            whole = slope.new_zeros(block.layer.shape)
            whole[passing.site.rows] = slope
            slope = whole
        block.view(self.slopes).add_(block.cut(slope.detach()))


def _swept_slopes(sweep: Sweep) -> Slopes:
    asked = 0

    def ask() -> tuple[Tensor, bool]:
        nonlocal asked
        if asked % _RECALIBRATED == 0:
            sweep.calibrate()
        asked += 1
        sweep.run(slopes=True)
        _check(sweep.total)
        return sweep.edges.shares, sweep.total > 0

    return ask


def _check(total: float) -> None:
    if not math.isfinite(total):
        raise NonFiniteError(
            "the counts of the channels of one layer differ by more than a factor of 2**1000, which one exponent a "
            "tensor cannot hold; take resolution='channel' or another method"
        )
