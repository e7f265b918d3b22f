"""`measure` and `effective`: the two numbers, and what lies on a path."""

import math
from collections import defaultdict
from collections.abc import Mapping
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from nodepath.errors import MaskMismatchError
from nodepath.masks import LayerCount, MaskSet, borrowed
from nodepath.paths.example import ExampleInput
from nodepath.paths.network import Network
from nodepath.paths.nodes import Convention, NodeGroup, convention_named, node_groups
from nodepath.paths.reach import reach
from nodepath.paths.semantics import EXACT, PAPER
from nodepath.paths.surroundings import own_surroundings
from nodepath.paths.survey import survey
from nodepath.paths.threads import one_thread
from nodepath.paths.topology import LayerTopology, Topology
from nodepath.registry import nearest

__all__ = ["effective", "matched", "measure", "measure_network"]


@own_surroundings()
def measure(
    model: nn.Module,
    x: ExampleInput,
    masks: Mapping[str, Tensor] | None = None,
    *,
    convention: str = "exact",
    resolution: str = "pixel",
) -> Topology:
    """Count the paths and nodes of a masked network.

    Every weight becomes its mask, biases 0, norms and activations the identity, average pooling a sum; ones are
    fed, and the sum of the outputs is the number of paths. Nothing is ever rounded to "dead": reachability is
    boolean and counts carry an exponent.

    Args:
        model: Any module; left as it was.
        x: Example input: a tensor, a tuple, or a dict of keyword arguments; the first axis is the batch. Only shapes
            count.
        masks: What is kept; None: all. What it does not name counts as dense.
        convention: Which nodes count, and how max pooling is read. "exact": output channels of each prunable layer and
            input channels of the network; max pooling connects its whole window. "paper": as in the papers.
        resolution: "pixel": paths run from pixel to pixel, as in the papers. "channel": from channel to channel, a
            kernel with m kept cells being m parallel edges; pixels and tokens are one, so the image size costs nothing.

    Returns:
        Paths, nodes and everything derived from them, in all and by layer.

    Cost: a forward and a backward pass in float64 (`survey` says when reachability takes another in float32, and, where
        something steers, one more backward pass), and once for a model a forward pass of the dense network, in which
        one channel stands for all of a layer. In channel resolution each is one pass over the masks.

    Raises:
        MaskMismatchError: A mask that names no prunable weight of this model, or has another shape.
        InputMismatchError: The model does not run on `x`.
        UnknownOperationError: An operation whose effect on paths nobody has declared.
        NothingPrunableError: No Linear or convolution weight is used.

    References:
        "Understanding Pruning at Initialization: An Effective Node-Path Balancing Perspective" (OpenReview nqoxB03tzi);
        effective sparsity: Vysogorets & Kempe, arXiv:2107.02306.
    """
    convention_named(convention)
    # by channel, a walk that does nothing but read would take a third of the time
    return measure_network(Network(model, x, resolution, read=resolution != "channel"), masks, convention=convention)


@own_surroundings()
def effective(model: nn.Module, x: ExampleInput, masks: Mapping[str, Tensor], *, resolution: str = "pixel") -> MaskSet:
    """The same masks without the weights that neither lie on a path from an input to an output nor steer one.

    Args:
        model: Any module; left as it was.
        x: Example input, see `measure`.
        masks: What is kept. What it does not name counts as dense.
        resolution: See `measure`.

    Returns:
        Masks of the same names, each a subset.

    Raises:
        MaskMismatchError: See `measure`, as for the other errors.
    """
    network = Network(model, x, resolution)
    live = reach(network, matched(network, masks)).weights
    metadata = dict(masks.metadata) if isinstance(masks, MaskSet) else {}
    return MaskSet({name: live[name].to(mask.device) for name, mask in masks.items()}, metadata)


def measure_network(
    network: Network,
    masks: Mapping[str, Tensor] | None = None,
    *,
    convention: str = "exact",
) -> Topology:
    """`measure`, for a network that has been read already."""
    counted = masks.layers if isinstance(masks, MaskSet) else {}
    masks = {name: mask.to(network.device, torch.bool) for name, mask in borrowed(masks or {}).items()}
    if network.is_read or not _fit(network, masks):
        check(network, masks)
    # over channels, a billion weights take no longer on one thread than on two, and a network of usual size less
    with network.at_rest(), one_thread() if network.resolution == "channel" else nullcontext():
        return _measured(network, masks, counted, convention_named(convention))


def _measured(
    network: Network, masks: dict[str, Tensor], counted: Mapping[str, LayerCount], chosen: Convention
) -> Topology:
    semantics = EXACT if chosen == "exact" else PAPER
    alive, carried = survey(network, masks, semantics)
    check(network, masks)
    groups: dict[str, list[NodeGroup]] = defaultdict(list)
    for group in node_groups(network, alive, carried, chosen):
        groups[group.owner].append(group)
    everything = [group for several in groups.values() for group in several]
    layers = []
    for name, layer in network.layers.items():
        live = alive.weights[name]
        steering = 0 if alive.paths is None else int((live & ~alive.paths.weights[name]).count_nonzero())
        here = groups[name]
        if name not in masks:
            kept = layer.dense_kept
        elif name in counted and len(layer.rows) == 1:
            kept = (counted[name].kept,)
        else:
            kept = layer.kept(masks[name])
        all_live = name in masks and live.data_ptr() == masks[name].data_ptr()
        effective = kept if all_live else layer.kept(live)
        layers.append(
            LayerTopology(
                name=name,
                shape=layer.shape,
                prunable=layer.size,
                kept=sum(kept),
                effective=sum(effective),
                control=steering,
                nodes=sum(group.count for group in here),
                control_nodes=sum(group.control for group in here),
                all_nodes=sum(len(group.effective) for group in here),
                effective_width=sum(group.effective_width for group in here),
                path_share=carried.outputs[name].sum().item(),
                macs=layer.macs(kept),
                effective_macs=layer.macs(effective),
                dense_macs=layer.dense_macs,
                shortcut=layer.shortcut,
            )
        )
    return Topology(
        convention=chosen,
        resolution=network.resolution,
        log10_paths=carried.log2_paths * math.log10(2),
        dense_log10_paths=network.dense_log2_paths(semantics) * math.log10(2),
        nodes=sum(group.count for group in everything),
        dense_nodes=sum(len(group.effective) for group in everything),
        control_nodes=sum(group.control for group in everything),
        effective_width=sum(group.effective_width for group in everything),
        log_effective_widths=sum(math.log(group.effective_width) for group in everything if group.effective_width > 0),
        layers=tuple(layers),
        unused=network.unused,
        tied=tuple(sorted(network.tied)),
    )


def matched(network: Network, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Masks on the network's device, checked against its layers.

    Raises:
        MaskMismatchError: See `check`.
    """
    check(network, masks)
    return {name: mask.to(network.device, torch.bool) for name, mask in borrowed(masks).items()}


def check(network: Network, masks: Mapping[str, Tensor]) -> None:
    """Compare masks with the network's layers.

    Raises:
        MaskMismatchError: A name that is no prunable weight, or another shape.
    """
    for name, mask in borrowed(masks).items():
        if name not in network.layers:
            reason = (
                "is never used by the forward pass" if name in network.unused else "is no prunable weight of this model"
            )
            raise MaskMismatchError(f"mask '{name}' {reason}; {nearest(name, network.layers)}")
        if tuple(mask.shape) != network.layers[name].shape:
            raise MaskMismatchError(
                f"mask '{name}' has shape {tuple(mask.shape)}, the weight {network.layers[name].shape}; "
                "load masks that were made for this model with these inputs and classes"
            )


def _fit(network: Network, masks: Mapping[str, Tensor]) -> bool:
    """Whether masks have the shapes of parameters; which of these are layers is not known yet."""
    own = network.parameters
    return all(name in own and mask.shape == own[name].shape for name, mask in masks.items())
