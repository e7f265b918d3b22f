"""How many paths there are, and where they run: one forward and one backward pass."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nodepath.errors import NonFiniteError
from nodepath.paths.geometry import Geometry
from nodepath.paths.network import Arrival, Network, log2
from nodepath.paths.semantics import EXACT, Semantics
from nodepath.paths.site import Part, Site, given

__all__ = ["Flow", "Shares", "flow"]


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


class Shares:
    """Takes down how many paths pass each channel, and each weight if asked, as mantissas of one exponent."""

    def __init__(self, network: Network, *, weights: bool) -> None:
        self.network = network
        self.with_weights = weights
        self.outputs: dict[str, Tensor] = {}
        self.inputs: dict[Part, Tensor] = {}
        self.weights: dict[str, Tensor] = {}

    def __call__(
        self, site: Site, geometry: Geometry, edges: Tensor | None, counts: Tensor, made: Tensor, slope: Tensor
    ) -> Tensor:
        """See `Note`."""
        pulled = geometry.pull(slope, edges, counts)
        if site.name is None:
            return pulled
        layer = self.network.layers[site.name]
        rows = slice(None) if layer.transposed else site.rows
        if site.name not in self.outputs:
            self.outputs[site.name] = slope.new_zeros(layer.outputs)
        self.outputs[site.name][rows] += geometry.dot(made, slope)
        part = site.name, site.first_row
        through = geometry.dot(counts, pulled)
        self.inputs[part] = self.inputs[part] + through if part in self.inputs else through
        if self.with_weights:
            if site.name not in self.weights:
                self.weights[site.name] = slope.new_zeros(layer.shape)
            share = geometry.touch(slope, counts)
            self.weights[site.name][site.rows] += share if edges is None else share * edges
        return pulled

    def flow(self, arrival: Arrival, slopes: tuple[Tensor, ...]) -> Flow:
        """What was taken down, as shares of all paths.

        Args:
            arrival: Of the forward pass.
            slopes: In each input.

        Raises:
            NonFiniteError: Counts within one tensor differ by more than its number range; names the layer.
        """
        total = arrival.counts.detach()
        none, layers = total.new_zeros(()), self.network.layers.items()
        outputs = {name: none.expand(layer.outputs) for name, layer in layers}
        inputs = {(name, row): none.expand(layer.inputs) for name, layer in layers for row in layer.first_rows}
        weights = {name: none.expand(layer.shape) for name, layer in layers} if self.with_weights else {}
        if total.item() == 0.0:
            return Flow(-math.inf, outputs, inputs, weights, tuple(map(torch.zeros_like, slopes)))
        for empty, found in ((outputs, self.outputs), (inputs, self.inputs), (weights, self.weights)):
            for key, share in found.items():
                empty[key] = share / total  # type: ignore[index]
                if not math.isfinite(empty[key].sum().item()):  # type: ignore[index]
                    name = key if isinstance(key, str) else key[0]
                    raise NonFiniteError(
                        f"the counts of the channels before '{name}' differ by more than a factor of 2**1000, which "
                        "one exponent a tensor cannot hold; look at the reachability alone (nodepath.effective)"
                    )
        return Flow(log2(arrival), outputs, inputs, weights, tuple(slope / total for slope in slopes))


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
    note = Shares(network, weights=weights)
    with network.at_rest(), torch.enable_grad():
        arrival = network.send(semantics, given(edges), note)
        return note.flow(arrival, arrival.slopes())
