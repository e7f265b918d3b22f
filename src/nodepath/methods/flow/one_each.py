"""Every weight is an edge of its own, in the memory of the sweep."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodepath.methods.flow.threshold import Places
from nodepath.methods.flow.weights import in_order
from nodepath.methods.problem import Problem
from nodepath.paths.replay.edges import Block, Edges
from nodepath.paths.replay.steps import Course
from nodepath.paths.replay.sweep import Sweep

__all__ = ["OneEach"]

_SHRINKS = 0.75
"""When so few of the weights are left, what carries no flow is looked for again."""

_FEW = 0.5
"""So few of the weights of a layer are put on a list, where each costs twice as much."""

_FEWER = 0.7
"""So few of the weights on a list are put on a shorter one."""

_WEIGHT = 30
"""What a weight costs in each step, apart from its products: so many products at one place."""

_REBUILT = 3_000_000
"""What to build a step of the course anew costs, in such products."""

_AT_ONCE = 1 << 12


class OneEach:
    """Weights that are the edges of a sweep, see `Weights`.

    Args:
        problem: The task.
        course: Of its network.
        masks: Parameter name -> which weights there are, of the layers that are pruned.
        dtype: Of mantissas and shares.
    """

    def __init__(self, problem: Problem, course: Course, masks: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        magnitudes = {
            name: weight.abs() * masks[name] if name in masks else weight for name, weight in problem.weights.items()
        }
        others = [layer for name, layer in problem.network.layers.items() if name not in masks]
        edges = Edges.of(problem.layers, magnitudes, dtype)
        self.sweep = Sweep(course, edges, Edges.of(others, magnitudes, dtype), torch.ones_like(course.pinned))
        self._looked_at = math.inf

    @property
    def held(self) -> Tensor:
        """See `Weights`."""
        return self.sweep.edges.held

    @property
    def shares(self) -> Tensor:
        """See `Weights`."""
        return self.sweep.edges.shares

    def run(self) -> None:
        """See `Weights`."""
        self.sweep.run()

    def part(self, name: str) -> slice:
        """See `Weights`."""
        block = self.sweep.edges.blocks[name]
        return slice(block.start, block.start + block.size)

    def placed(self, name: str) -> Block:
        """See `Weights`."""
        return self.sweep.edges.blocks[name]

    def in_order(self, names: Sequence[str], places: Places, threshold: float) -> NDArray[np.intp]:
        """See `Weights`; shares that their type cannot tell from the threshold are computed anew."""
        sweep = self.sweep
        blocks = [sweep.edges.blocks[name] for name in names]
        starts = np.array([block.start - blocks[0].start for block in blocks])
        layers = np.searchsorted(starts, places, side="right") - 1
        exact, positions = np.empty(len(places)), np.empty(len(places), dtype=np.int64)
        for layer in np.unique(layers):
            for own in np.split(own_all := np.flatnonzero(layers == layer), range(_AT_ONCE, len(own_all), _AT_ONCE)):
                inside = torch.from_numpy(places[own] - starts[layer])
                positions[own] = blocks[layer].positions(inside).numpy()
                exact[own] = sweep.exact(names[layer], inside.to(sweep.memory.device)).cpu().numpy()
        return in_order(exact, positions, layers, threshold)

    def forget(self, alive: int, left: Callable[[], Mapping[str, int]], steps: int) -> bool:
        """Forget channels that carry none; of layers that can do with a list, weights that are gone."""
        if alive > _SHRINKS * self._looked_at:
            return False
        self._looked_at = alive
        sweep, blocks = self.sweep, self.sweep.edges.blocks
        takes, costs = sweep.work(_WEIGHT), _REBUILT * len(sweep.course.steps) + _WEIGHT * len(self.held)
        if takes * steps < costs:
            return False
        numbers = left()
        live, listed = sweep.live_labels(), self._sparse(numbers)
        spared = takes - sweep.work(_WEIGHT, live) + sum(_WEIGHT * (blocks[n].size - numbers[n]) for n in listed)
        if spared * steps >= costs:
            self.sweep = sweep.without(live, listed)
        return spared * steps >= costs

    def _sparse(self, left: Mapping[str, int]) -> list[str]:
        """Names of layers of whose weights few are left."""
        blocks = self.sweep.edges.blocks
        return [
            name
            for name in self.sweep.listable.intersection(left)
            if left[name] < (_FEW if blocks[name].listing is None else _FEWER) * blocks[name].size
        ]
