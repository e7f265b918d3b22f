"""What is possible at a budget: the curve of even masks, its ends, and where a mask stands."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn

from nodepath.errors import ArgumentError, BudgetWarning, MaskMismatchError
from nodepath.methods.arguments import Patterns, check_budget, included_layers, kept_count, listed, seeded
from nodepath.methods.even.design import PATHS, Designer
from nodepath.methods.npb_even import drawn
from nodepath.methods.respend import respend
from nodepath.paths import Network, Topology
from nodepath.paths.example import ExampleInput
from nodepath.paths.measure import measure_network
from nodepath.paths.node_bound import node_bound
from nodepath.paths.nodes import convention_named
from nodepath.paths.path_bound import log10_path_bound
from nodepath.paths.surroundings import own_surroundings

__all__ = ["Frontier", "FrontierPoint", "frontier"]


@dataclass(frozen=True)
class FrontierPoint:
    """One mask of `npb-even`, measured.

    Attributes:
        width: The share of the channels that live.
        nodes: Effective nodes.
        effective_width: See `Topology.effective_width`.
        log10_paths: log10 of the number of effective paths.
        position: See `Topology.position`.
    """

    width: float
    nodes: int
    effective_width: float
    log10_paths: float
    position: float


@dataclass(frozen=True)
class Frontier:
    """What is possible with a number of weights.

    Attributes:
        kept: How many weights.
        prunable: Of how many.
        convention: Which nodes count, see `nodepath.measure`.
        resolution: How paths are counted.
        points: Masks of `npb-even`, from the narrowest to the widest. Their numbers are exact; that nothing lies beyond
            the curve between them is what was found with every method tried, not a theorem.
        most_nodes: No mask has more effective nodes: a bound, see `nodepath.paths.node_bound`, which the widest
            point often reaches.
        most_log10_paths: No mask has more paths (log10): a bound, see `nodepath.paths.path_bound`.
    """

    kept: int
    prunable: int
    convention: str
    resolution: str
    points: tuple[FrontierPoint, ...]
    most_nodes: int
    most_log10_paths: float

    def width_at(self, log10_paths: float) -> float:
        """Effective width of the curve at a number of paths; beyond its richest point 0, before its widest the most.

        Args:
            log10_paths: log10 of the number of paths; -inf for none.
        """
        curve = self._curve
        if log10_paths > curve[-1][0]:
            return 0.0
        paths, widths = zip(*curve, strict=True)
        return float(np.interp(log10_paths, paths, widths))

    def efficiency(self, topology: Topology) -> float:
        """How much of the width that its paths leave room for a mask has.

        Its effective width over that of the curve at the same number of paths. 1: on the curve; hubs, threads and dead
        ends make it less. More than 1: beyond the curve; inf: more paths than any mask of the curve. 0 for no path.

        Args:
            topology: What `nodepath.measure` says of a mask of the same network, with as many weights.

        Raises:
            MaskMismatchError: It is of another network or budget, or was measured in another way.
        """
        for what in ("convention", "resolution", "prunable", "kept"):
            theirs, ours = getattr(topology, what), getattr(self, what)
            if theirs != ours:
                raise MaskMismatchError(f"the topology's {what} is {theirs}, the frontier's {ours}; ask for the same")
        if topology.log10_paths == -math.inf:
            return 0.0
        reachable = self.width_at(topology.log10_paths)
        return topology.effective_width / reachable if reachable else math.inf

    @property
    def _curve(self) -> list[tuple[float, float]]:
        """log10 paths and effective width of the points that no other beats in both, by rising paths."""
        best: list[tuple[float, float]] = []
        for point in sorted(self.points, key=lambda p: (-p.log10_paths, -p.effective_width)):
            if not best or point.effective_width > best[-1][1]:
                best.append((point.log10_paths, point.effective_width))
        return best[::-1]


@own_surroundings()
def frontier(
    model: nn.Module,
    x: ExampleInput,
    *,
    sparsity: float,
    convention: str = "exact",
    resolution: str = "pixel",
    points: int = 9,
    seed: int = 0,
    include: Patterns = None,
    exclude: Patterns = None,
) -> Frontier:
    """What is possible at a budget: masks of `npb-even` from the narrowest to the widest, and two bounds.

    Args:
        model: Any module; left as it was.
        x: Example input, see `nodepath.measure`.
        sparsity: Fraction of the included prunable weights to remove, in [0, 1).
        convention: See `nodepath.measure`.
        resolution: See `nodepath.measure`.
        points: How many masks are drawn and measured, at widths of equal ratios; at least 2.
        seed: Of the draws.
        include: See `nodepath.prune`.
        exclude: See `nodepath.prune`.

    Cost: `points` times `npb-even` and `measure`, and 16 walks in which a layer costs as much as it has channels.

    Raises:
        ArgumentError: Fewer than 2 points, or another argument that makes no sense.
        BudgetError: The budget keeps nothing.
        NothingPrunableError, InputMismatchError, UnknownOperationError: The model or `x`.
    """
    check_budget(sparsity, None, None)
    if not isinstance(points, int) or points < 2:
        raise ArgumentError(f"points is {points!r}; a curve takes a whole number of at least 2")
    network = Network(model, x, resolution)
    included = included_layers(network, listed(include), listed(exclude))
    size = sum(network.layers[name].size for name in included)
    keep = kept_count(network, included, size, sparsity, None)
    found: dict[tuple[int, ...], FrontierPoint] = {}
    narrowest, widest = _ends(Designer(network, included, keep, seeded(seed), PATHS))
    for width in np.geomspace(narrowest, widest, points):
        designer = Designer(network, included, keep, seeded(seed), PATHS)
        counts = designer.groups.counts(float(width))
        if tuple(counts) in found:
            continue
        masks = drawn(designer.design(counts), designer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BudgetWarning)  # at the ends not all weights find a path
            masks = respend(network, masks, designer.generator, nodes_first=False)
        topology = measure_network(network, masks, convention=convention)
        found[tuple(counts)] = FrontierPoint(
            float(width), topology.nodes, topology.effective_width, topology.log10_paths, topology.position
        )
    dense = network.prunable - size
    return Frontier(
        keep + dense,
        network.prunable,
        topology.convention,
        resolution,
        tuple(sorted(found.values(), key=lambda point: point.width)),
        node_bound(network, keep + dense, convention_named(convention), topology.dense_nodes),
        log10_path_bound(network, keep + dense),
    )


def _ends(designer: Designer) -> tuple[float, float]:
    """The least width whose channels hold the budget, and the largest whose channels it can keep on paths."""

    def least(fits: Callable[[float], bool]) -> float:
        low, high = 1e-4, 1.0
        for _ in range(20):
            middle = math.sqrt(low * high)
            low, high = (low, middle) if fits(middle) else (middle, high)
        return high

    narrowest = least(lambda width: designer.room(designer.groups.counts(width)) >= designer.keep)
    too_wide = least(lambda width: designer.need(designer.groups.counts(width)) > designer.keep)
    return narrowest, max(narrowest, too_wide if too_wide == 1.0 else too_wide * 0.999)
