"""How many paths there are, and where they run: one forward and one backward pass."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from nodepath.errors import NonFiniteError
from nodepath.paths.layer import by_channel_in, by_channel_out, by_weight
from nodepath.paths.network import Arrival, Network, log2
from nodepath.paths.semantics import EXACT, Semantics
from nodepath.paths.site import Part, Passing, given

__all__ = ["Flow", "Shares", "flow"]

Key = TypeVar("Key", str, Part)


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

    def __call__(self, name: str, passing: Passing) -> None:
        """See `Note`."""
        layer, site, geometry = self.network.layers[name], passing.site, passing.geometry
        passed = geometry.dot(passing.made, passing.slope)
        if name not in self.outputs and len(passed) == layer.outputs:
            self.outputs[name] = passed
        else:
            outputs = self.outputs.setdefault(name, passed.new_zeros(layer.outputs))
            outputs[slice(None) if layer.transposed else site.rows] += passed
        part = name, site.first_row
        through = geometry.dot(passing.counts, passing.pulled)
        self.inputs[part] = self.inputs[part] + through if part in self.inputs else through
        if self.with_weights:
            if name not in self.weights:
                self.weights[name] = passed.new_zeros(layer.shape)
            share = geometry.touch(passing.slope, passing.counts)
            self.weights[name][site.rows] += share if passing.edges is None else share * passing.edges

    def flow(self, arrival: Arrival, slopes: tuple[Tensor, ...]) -> Flow:
        """What was taken down, as shares of all paths.

        Args:
            arrival: Of the forward pass.
            slopes: In each input.

        Raises:
            NonFiniteError: Counts within one tensor differ by more than its number range; names the layer.
        """
        total = arrival.counts.detach()
        if total.item() == 0.0:
            return self._all(-math.inf, {}, {}, {}, tuple(map(torch.zeros_like, slopes)))
        outputs, inputs = _shares(self.outputs, total), _shares(self.inputs, total)
        if not math.isfinite(torch.cat([total.reshape(1), *outputs.values(), *inputs.values()]).sum().item()):
            for name, share in (*outputs.items(), *((part[0], share) for part, share in inputs.items())):
                if math.isfinite(share.sum().item()):
                    continue
                raise NonFiniteError(
                    f"the counts of the channels before '{name}' differ by more than a factor of 2**1000, which one "
                    "exponent a tensor cannot hold; look at the reachability alone (nodepath.effective)"
                )
        weights = {name: passed.div_(total) for name, passed in self.weights.items()}  # often the most memory of all
        return self._all(log2(arrival), outputs, inputs, weights, tuple(slope / total for slope in slopes))

    def _all(
        self,
        log2_paths: float,
        outputs: dict[str, Tensor],
        inputs: dict[Part, Tensor],
        weights: dict[str, Tensor],
        sources: tuple[Tensor, ...],
    ) -> Flow:
        layers, none = self.network.layers, torch.zeros((), dtype=sources[0].dtype, device=self.network.device)
        return Flow(
            log2_paths,
            by_channel_out(layers, outputs, none),
            by_channel_in(layers, inputs, none),
            by_weight(layers, weights, none) if self.with_weights else {},
            sources,
        )


def _shares(passed: dict[Key, Tensor], total: Tensor) -> dict[Key, Tensor]:
    return {key: number / total for key, number in passed.items()}


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
