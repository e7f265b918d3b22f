"""Whether a mask cuts a network, and where."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nodepath.paths.graph import bypassed_layers
from nodepath.paths.network import Network
from nodepath.paths.reach import reach
from nodepath.paths.semantics import REACH
from nodepath.paths.site import given

__all__ = ["Collapse", "find_collapse"]


@dataclass(frozen=True)
class Collapse:
    """What a mask destroys; false if nothing.

    Attributes:
        emptied: Layers without a kept weight, but for those that lie on no path in the dense network either.
        bypassed: Those among them that a live skip passes by.
        no_path: No path is left from any input to any output.
    """

    emptied: tuple[str, ...]
    bypassed: tuple[str, ...]
    no_path: bool

    def __bool__(self) -> bool:
        return self.no_path or bool(self.emptied)

    @property
    def harmless(self) -> bool:
        """Paths are left, and each emptied layer is passed by a live skip."""
        return not self.no_path and set(self.emptied) <= set(self.bypassed)


def find_collapse(network: Network, masks: Mapping[str, Tensor]) -> Collapse:
    """Look for emptied layers and for a network without paths.

    Args:
        network: The network.
        masks: Parameter name -> bool; what it does not name is dense.

    Cost: one boolean forward pass; another, and one back, where an emptied layer is not passed by.
    """
    emptied = tuple(name for name, mask in masks.items() if not bool(mask.any()))
    with torch.no_grad():
        arrival = network.send(REACH, given(masks))
    bypassed = bypassed_layers(arrival.tracer.graph, emptied) if emptied else ()
    if set(emptied) - set(bypassed):
        dense = reach(network, {}).weights
        emptied = tuple(name for name in emptied if name in bypassed or bool(dense[name].any()))
    return Collapse(emptied, tuple(bypassed), no_path=arrival.counts.item() == 0)
