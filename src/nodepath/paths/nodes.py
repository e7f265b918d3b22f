"""Which units count as nodes: the two conventions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from nodepath.errors import ArgumentError
from nodepath.paths.flow import Flow, Reach
from nodepath.paths.network import Network

__all__ = ["INPUT", "Convention", "NodeGroup", "convention_named", "node_groups"]

Convention = Literal["exact", "paper"]

INPUT = "input"
"""The owner of the network's own input channels, which belong to no layer."""


@dataclass(frozen=True)
class NodeGroup:
    """Nodes that stand side by side.

    Attributes:
        owner: The layer that they are counted with, or `INPUT`.
        effective: Which of them lie on a path, bool (nodes,).
        shares: Each one's share of all paths (nodes,).
    """

    owner: str
    effective: Tensor
    shares: Tensor


def convention_named(name: str) -> Convention:
    """Check a convention's name.

    Raises:
        ArgumentError: Neither "exact" nor "paper".
    """
    if name not in get_args(Convention):
        raise ArgumentError(f"convention is '{name}'; choose 'exact' or 'paper'")
    return name  # type: ignore[return-value]


def node_groups(network: Network, reach: Reach, flow: Flow, convention: Convention) -> Iterator[NodeGroup]:
    """The nodes of a network.

    - `exact`: each output channel of each prunable layer, and each input channel of the network, once.
    - `paper`: input channels of each convolution that is not a projection shortcut, inputs and outputs of each Linear.
    """
    inputs: Mapping[bool, str] = {True: "by_input", False: "by_output"}
    if convention == "exact":
        for axis, live, share in zip(network.input_axes, reach.inputs, flow.input_shares, strict=True):
            yield NodeGroup(INPUT, _by_channel(live.double(), axis) > 0, _by_channel(share, axis))
    for name, layer in network.layers.items():
        sides = [False] if convention == "exact" else [True, False] if layer.linear else [True]
        if convention == "paper" and layer.shortcut:
            continue
        for side in sides:
            gather = getattr(layer, inputs[side])
            yield NodeGroup(name, gather(reach.weights[name].float()) > 0, gather(flow.shares[name]))


def _by_channel(values: Tensor, axis: int | None) -> Tensor:
    """Sums of one value an input element over what belongs to each input channel, all samples together."""
    if axis is None:
        return values.flatten(1).sum(dim=0) if values.ndim > 1 else values
    return values.movedim(axis, 0).flatten(1).sum(dim=1) if values.ndim > 1 else values
