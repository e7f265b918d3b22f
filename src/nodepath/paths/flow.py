"""Paths and reachability of a masked network: one forward and one backward pass each."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nodepath.errors import NonFiniteError
from nodepath.paths.geometry import Geometry
from nodepath.paths.liveness import live_edges
from nodepath.paths.network import Arrival, Network, Resolution, log2
from nodepath.paths.semantics import EXACT, REACH, Semantics
from nodepath.paths.site import Site, Weigh, dense

__all__ = ["Flow", "Part", "Reach", "flow", "given", "openings", "reach", "steering", "without_dead_ends"]

Part = tuple[str, int]
"""A layer's parameter name and the first of its rows that one use reads: 0 but for the parts of a packed projection."""


@dataclass(frozen=True)
class Flow:
    """How the paths run through a network.

    Attributes:
        log2_paths: log2 of the (weighted) number of paths; -inf for none.
        outputs: Parameter name -> share of all paths through each output channel.
        inputs: Part -> share of all paths through each input channel, into this part.
        weights: Parameter name -> share of all paths through each weight, of the weight's shape, if asked for.
        sources: Share of all paths that begin at each element of each input, of axes of length 1 where folded.
    """

    log2_paths: float
    outputs: dict[str, Tensor]
    inputs: dict[Part, Tensor]
    weights: dict[str, Tensor]
    sources: tuple[Tensor, ...]


@dataclass(frozen=True)
class Reach:
    """What lies on a path, or steers what does.

    Attributes:
        weights: Parameter name -> bool, of the weight's shape.
        outputs: Parameter name -> bool, of each output channel.
        inputs: Part -> bool, of each input channel.
        sources: Bool, of each element of each input, of axes of length 1 where folded.
        paths: The same without what only steers; itself if nothing does.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[Part, Tensor] = field(default_factory=dict)
    sources: tuple[Tensor, ...] = ()
    paths: "Reach | None" = None


class _Shares:
    """Takes down what share of the paths passes each channel, and each weight if asked."""

    def __init__(self, network: Network, *, weights: bool) -> None:
        self.layers = network.layers
        self.with_weights = weights
        self.outputs: dict[str, Tensor] = {}
        self.inputs: dict[Part, Tensor] = {}
        self.weights: dict[str, Tensor] = {}

    def __call__(
        self, site: Site, geometry: Geometry, edges: Tensor | None, counts: Tensor, made: Tensor, slope: Tensor
    ) -> Tensor:
        pulled = geometry.pull(slope, edges, counts)
        if site.name is None:
            return pulled
        layer = self.layers[site.name]
        rows = slice(None) if layer.transposed else site.rows
        if site.name not in self.outputs:
            self.outputs[site.name] = slope.new_zeros(layer.outputs)
        self.outputs[site.name][rows] += geometry.by_channel(made * slope)
        part = site.name, site.first_row
        through = geometry.by_channel(counts * pulled)
        self.inputs[part] = self.inputs[part] + through if part in self.inputs else through
        if self.with_weights:
            if site.name not in self.weights:
                self.weights[site.name] = slope.new_zeros(layer.shape)
            share = geometry.touch(slope, counts)
            self.weights[site.name][site.rows] += share if edges is None else share * edges
        return pulled


class _Liveness:
    """Takes down which weights and channels live."""

    def __init__(self, network: Network, *, kept: bool) -> None:
        self.layers = network.layers
        self.kept = kept
        self.found = Reach()

    def __call__(
        self, site: Site, geometry: Geometry, edges: Tensor | None, counts: Tensor, made: Tensor, slope: Tensor
    ) -> Tensor:
        pulled = geometry.pull(slope, edges, counts)
        if site.name is None:
            return pulled
        layer, found = self.layers[site.name], self.found
        live = live_edges(geometry, counts, slope)
        if self.kept and edges is not None:
            live = live & (edges > 0.5 if edges.is_floating_point() else edges)
        elif live.shape != site.weight.shape:
            live = live.expand(site.weight.shape)
        _add(found.weights, site.name, live, site.rows, layer.shape)
        ends = geometry.by_channel(made * slope) > 0.5
        _add(found.outputs, site.name, ends, slice(None) if layer.transposed else site.rows, (layer.outputs,))
        part = site.name, site.first_row
        starts = geometry.by_channel(counts * pulled) > 0.5
        found.inputs[part] = found.inputs[part] | starts if part in found.inputs else starts
        return pulled


def _add(held: dict[str, Tensor], name: str, value: Tensor, rows: slice, shape: tuple[int, ...]) -> None:
    """Union with what is held; a part of the rows at a time."""
    if name not in held:
        if tuple(value.shape) == shape:
            held[name] = value.contiguous()
            return
        held[name] = value.new_zeros(shape)
    held[name][rows] |= value


@torch.inference_mode(mode=False)
def flow(
    network: Network,
    edges: Mapping[str, Tensor],
    semantics: Semantics = EXACT,
    *,
    weights: bool = True,
) -> Flow:
    """Send paths through a network whose weights are `edges`.

    The number of paths is `R = sum of the outputs` for an input of ones; the share of a weight `w` is
    `w (dR/dw) / R`, the product of the counts before and after it, over all positions; that of a channel the same for
    its counts.

    Args:
        network: The network.
        edges: Parameter name -> edge weights >= 0, of the weight's shape; ones for what is absent.
        semantics: How pooling is read.
        weights: Ask for the share of each weight.

    Cost: one forward and one backward pass in float64.

    Raises:
        NonFiniteError: Counts within one tensor differ by more than its number range; names the layer.
    """
    note = _Shares(network, weights=weights)
    with torch.enable_grad():
        arrival = network.send(semantics, given(edges), note)
    total = arrival.counts.detach()
    if total.item() == 0.0:
        return Flow(
            -math.inf, *_no_shares(network, total, weights=weights), tuple(map(torch.zeros_like, arrival.sources))
        )
    slopes = _slopes(arrival)
    outputs, inputs, shares = _no_shares(network, total, weights=weights)
    for empty, found in ((outputs, note.outputs), (inputs, note.inputs), (shares, note.weights)):
        for key, share in found.items():
            empty[key] = share / total  # type: ignore[index]
            if not bool(torch.isfinite(empty[key]).all()):  # type: ignore[index]
                name = key if isinstance(key, str) else key[0]
                raise NonFiniteError(
                    f"the counts of the channels before '{name}' differ by more than a factor of 2**1000, which one "
                    "exponent a tensor cannot hold; look at the reachability alone (nodepath.effective)"
                )
    return Flow(log2(arrival), outputs, inputs, shares, tuple(slope / total for slope in slopes))


@torch.inference_mode(mode=False)
def reach(network: Network, masks: Mapping[str, Tensor], *, paths: bool = False) -> Reach:
    """Which kept weights, channels and inputs lie on an input-output path or steer one.

    Boolean throughout: no count can overflow, and no weight that carries few paths is called dead.

    Args:
        network: The network.
        masks: Parameter name -> bool; all kept for what is absent.
        paths: Tell apart what only steers.

    Cost: one forward and one backward pass in float32; with `paths`, where something steers, another backward pass.
    """
    return _live(network, masks, kept=True, paths=paths)


def openings(network: Network, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Which weights, kept or not, would lie on a path or steer one if they were kept and nothing else changed.

    Args:
        network: The network.
        masks: Parameter name -> bool; all kept for what is absent.

    Cost: as `reach`.
    """
    return _live(network, masks, kept=False, paths=False).weights


def steering(network: Network) -> dict[str, Tensor]:
    """The weights that carry no path even when all are kept, of queries, keys and gates; empty if nothing steers.

    Args:
        network: The network.

    Returns:
        Parameter name -> bool, of the weight's shape, for the layers that have any.

    Cost: a pass over the channels.
    """
    dense_reach = _live(network, {}, kept=True, paths=True, resolution="channel")
    if dense_reach.paths is None:
        return {}
    only = {name: live & ~dense_reach.paths.weights[name] for name, live in dense_reach.weights.items()}
    return {name: mask for name, mask in only.items() if bool(mask.any())}


@torch.inference_mode(mode=False)
def _live(
    network: Network, masks: Mapping[str, Tensor], *, kept: bool, paths: bool, resolution: Resolution | None = None
) -> Reach:
    note = _Liveness(network, kept=kept)
    with torch.enable_grad():
        arrival = network.send(REACH, given(masks), note, resolution)
    switch = arrival.tracer.switch
    apart = paths and switch.used
    sources = _slopes(arrival, again=apart)
    everything = _completed(network, note.found, sources)
    if not apart:
        return everything
    note.found, switch.open = Reach(), False
    only_paths = _completed(network, note.found, _slopes(arrival))
    return Reach(everything.weights, everything.outputs, everything.inputs, everything.sources, only_paths)


def without_dead_ends(network: Network, masks: Mapping[str, Tensor], alive: Reach) -> Mapping[str, Tensor]:
    """Masks without the weights that lie on no path: they change no count, and only widen the range of counts.

    Where something is steered all stay, since constants that run through them can hold a gate open.

    Args:
        network: The network.
        masks: Parameter name -> bool.
        alive: What of them is effective.
    """
    return masks if network.steers else {name: alive.weights[name] for name in masks}


def given(edges: Mapping[str, Tensor]) -> Weigh:
    """Edges by parameter name; what is absent is dense."""

    def weigh(site: Site, counts: Tensor, spread: Callable[[Tensor], Tensor]) -> Tensor | None:
        if site.name is not None and site.name in edges:
            return edges[site.name][site.rows].to(counts.device)
        return dense(site, counts, spread)

    return weigh


def _slopes(arrival: Arrival, *, again: bool = False) -> list[Tensor]:
    """Derivatives of the sum of the outputs in each input; zeros where nothing depends. Layers are noted on the way."""
    if not arrival.counts.requires_grad:
        return [torch.zeros_like(source) for source in arrival.sources]
    found = torch.autograd.grad(arrival.counts, arrival.sources, allow_unused=True, retain_graph=again)
    return [torch.zeros_like(s) if slope is None else slope for s, slope in zip(arrival.sources, found, strict=True)]


def _completed(network: Network, found: Reach, sources: list[Tensor]) -> Reach:
    """With all layers, also those that no liveness came back to, in the order of use."""
    none = torch.zeros((), dtype=torch.bool, device=network.device)
    weights, outputs, inputs = {}, {}, {}
    for name, layer in network.layers.items():
        weights[name] = found.weights.get(name, none.expand(layer.shape))
        outputs[name] = found.outputs.get(name, none.expand(layer.outputs))
        for first_row in layer.first_rows:
            inputs[name, first_row] = found.inputs.get((name, first_row), none.expand(layer.inputs))
    return Reach(weights, outputs, inputs, tuple(slope > 0.5 for slope in sources))


def _no_shares(
    network: Network, like: Tensor, *, weights: bool
) -> tuple[dict[str, Tensor], dict[Part, Tensor], dict[str, Tensor]]:
    none = like.new_zeros(())
    layers = network.layers.items()
    return (
        {name: none.expand(layer.outputs) for name, layer in layers},
        {(name, row): none.expand(layer.inputs) for name, layer in layers for row in layer.first_rows},
        {name: none.expand(layer.shape) for name, layer in layers} if weights else {},
    )
