"""What lies on a path, or steers one: one forward and one backward pass of reachability."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from nodepath.paths.layer import by_channel_in, by_channel_out, by_weight
from nodepath.paths.liveness import live_edges
from nodepath.paths.network import Network, Resolution
from nodepath.paths.semantics import REACH
from nodepath.paths.site import Part, Passing, Site, given

__all__ = ["Reach", "add_live", "completed", "openings", "reach", "steering", "without_dead_ends"]


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


class _Liveness:
    """Takes down which weights and channels live."""

    def __init__(self, network: Network, *, kept: bool) -> None:
        self.layers = network.layers
        self.kept = kept
        self.found = Reach()

    def __call__(self, name: str, passing: Passing) -> None:
        site, layer, found, kept = passing.site, self.layers[name], self.found, None
        if self.kept and passing.edges is not None:
            kept = passing.edges > 0.5 if passing.edges.is_floating_point() else passing.edges
        add_live(found.weights, name, site, live_edges(passing, kept), layer.shape)
        ends = passing.geometry.dot(passing.made, passing.slope) > 0.5
        outputs = found.outputs.setdefault(name, ends.new_zeros(layer.outputs))
        outputs[slice(None) if layer.transposed else site.rows] |= ends
        part = name, site.first_row
        starts = passing.geometry.dot(passing.counts, passing.pulled) > 0.5
        found.inputs[part] = found.inputs[part] | starts if part in found.inputs else starts


def add_live(held: dict[str, Tensor], name: str, site: Site, live: Tensor, shape: tuple[int, ...]) -> None:
    """Add the live edges of a site to those of its parameter.

    Args:
        held: Parameter name -> bool.
        name: Of the parameter.
        site: Where it is used.
        live: Of the site's edges, see `live_edges`; never written into.
        shape: Of the parameter.
    """
    live = live.expand(site.weight.shape).contiguous()
    before = held.get(name)
    if tuple(live.shape) == shape:
        held[name] = live if before is None else before | live
        return
    if before is None:
        before = held[name] = live.new_zeros(shape)
    before[site.rows] |= live


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

    Cost: a pass over the channels; none if nothing steers.
    """
    if not network.steers:
        return {}
    dense_reach = _live(network, {}, kept=True, paths=True, resolution="channel")
    paths = dense_reach.paths or dense_reach
    only = {name: live & ~paths.weights[name] for name, live in dense_reach.weights.items()}
    return {name: mask for name, mask in only.items() if bool(mask.any())}


@torch.inference_mode(mode=False)
def _live(
    network: Network, masks: Mapping[str, Tensor], *, kept: bool, paths: bool, resolution: Resolution | None = None
) -> Reach:
    note = _Liveness(network, kept=kept)
    with network.at_rest(), torch.enable_grad():
        arrival = network.send(REACH, given(masks), note, resolution)
        switch = arrival.tracer.switch
        apart = paths and switch.used
        sources = arrival.slopes(again=apart)
        everything = completed(network, note.found, sources)
        if not apart:
            return everything
        note.found, switch.open = Reach(), False
        return replace(everything, paths=completed(network, note.found, arrival.slopes()))


def without_dead_ends(network: Network, masks: Mapping[str, Tensor], alive: Reach) -> Mapping[str, Tensor]:
    """Masks without the weights that lie on no path: they change no count, and only widen the range of counts.

    Of layers that no mask names as well.

    Where something is steered all stay, since constants that run through them can hold a gate open.

    Args:
        network: The network.
        masks: Parameter name -> bool.
        alive: What of them is effective.
    """
    if network.steers:
        return masks
    return {name: live for name, live in alive.weights.items() if name in masks or not bool(live.all())}


def completed(network: Network, found: Reach, slopes: tuple[Tensor, ...]) -> Reach:
    """With all layers, also those that no liveness came back to, in the order of use.

    Args:
        network: The network.
        found: What came back to some of them.
        slopes: Positive where an element of an input lives.
    """
    layers, none = network.layers, torch.zeros((), dtype=torch.bool, device=network.device)
    return Reach(
        by_weight(layers, found.weights, none),
        by_channel_out(layers, found.outputs, none),
        by_channel_in(layers, found.inputs, none),
        tuple(slope > 0 for slope in slopes),
    )
