"""Which units count as nodes: the two conventions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from nodepath.errors import ArgumentError
from nodepath.paths.flow import Flow
from nodepath.paths.network import Network
from nodepath.paths.reach import Reach

__all__ = ["INPUT", "Convention", "NodeGroup", "by_channel", "convention_named", "node_groups"]

Convention = Literal["exact", "paper"]

INPUT = "input"
"""The owner of the network's own input channels, which belong to no layer."""


@dataclass(frozen=True)
class NodeGroup:
    """Nodes that stand side by side.

    Attributes:
        owner: The layer that they are counted with, or `INPUT`.
        effective: Which of them lie on a path or steer one, bool (nodes,).
        on_path: Which of them lie on a path, bool (nodes,).
        shares: Each one's share of all paths (nodes,).
    """

    owner: str
    effective: Tensor
    on_path: Tensor
    shares: Tensor

    @cached_property
    def count(self) -> int:
        """How many are effective."""
        return int(self.effective.count_nonzero())

    @cached_property
    def control(self) -> int:
        """How many of them only steer."""
        return 0 if self.on_path is self.effective else int((self.effective & ~self.on_path).count_nonzero())

    @cached_property
    def effective_width(self) -> float:
        """The exponential of the entropy of the shares, normalised over the group; 0 if no path passes."""
        total = self.shares.sum().item()
        return math.exp(torch.special.entr(self.shares / total).sum().item()) if total > 0 else 0.0


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

    The parts of a packed in-projection (q, k, v) are layers of their own.
    """
    paths = reach.paths or reach
    if convention == "exact":
        every = zip(network.input_axes, reach.sources, paths.sources, flow.sources, strict=True)
        for axis, live, on_path, share in every:
            reached = by_channel(live.double(), axis) > 0
            carrying = reached if on_path is live else by_channel(on_path.double(), axis) > 0
            yield NodeGroup(INPUT, reached, carrying, by_channel(share, axis))
    for name, layer in network.layers.items():
        if convention == "paper" and layer.shortcut:
            continue
        if convention == "paper":
            for part in layer.parts:
                yield NodeGroup(name, reach.inputs[part], paths.inputs[part], flow.inputs[part])
        outputs = reach.outputs[name], paths.outputs[name], flow.outputs[name]
        if (convention == "exact" or layer.linear) and len(layer.rows) == 1:
            yield NodeGroup(name, *outputs)
        elif convention == "exact" or layer.linear:
            for group in zip(*(torch.split(held, list(layer.rows)) for held in outputs), strict=True):
                yield NodeGroup(name, *group)


def by_channel(values: Tensor, axis: int | None) -> Tensor:
    """Sums of one value an input element over what belongs to each input channel, all samples together."""
    if axis is None:
        return values.flatten(1).sum(dim=0) if values.ndim > 1 else values
    return values.movedim(axis, 0).flatten(1).sum(dim=1) if values.ndim > 1 else values
