"""Paths and reachability of a masked network: one forward and one backward pass each."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nodepath.errors import NonFiniteError
from nodepath.paths.network import Arrival, Network, dense_edges, log2
from nodepath.paths.semantics import EXACT, REACH, Semantics
from nodepath.paths.site import Site, Weigh

__all__ = ["Flow", "Reach", "count_paths", "flow", "given", "openings", "reach"]


@dataclass(frozen=True)
class Flow:
    """How the paths run through a network.

    Attributes:
        log2_paths: log2 of the (weighted) number of paths; -inf for none.
        shares: Parameter name -> share of all paths through each weight, of the weight's shape; zeros without paths.
        input_shares: Share of all paths that begin at each element of each input.
    """

    log2_paths: float
    shares: dict[str, Tensor]
    input_shares: tuple[Tensor, ...]


@dataclass(frozen=True)
class Reach:
    """What lies on a path.

    Attributes:
        weights: Parameter name -> bool, of the weight's shape.
        inputs: Bool, of each input's shape.
    """

    weights: dict[str, Tensor]
    inputs: tuple[Tensor, ...]


@torch.inference_mode(mode=False)
def flow(network: Network, edges: Mapping[str, Tensor], semantics: Semantics = EXACT) -> Flow:
    """Send paths through a network whose weights are `edges`.

    The number of paths is `R = sum of the outputs` for an input of ones; the share of a weight `w` is
    `w (dR/dw) / R`, the product of the counts before and after it, over all positions.

    Args:
        network: The network.
        edges: Parameter name -> edge weights >= 0, of the weight's shape; ones for what is absent.
        semantics: How pooling is read.

    Cost: one forward and one backward pass in float64.

    Raises:
        NonFiniteError: Counts within one tensor differ by more than its number range; names the layer.
    """
    arrival, leaves = _send(network, edges, semantics)
    if arrival.counts.item() == 0.0:
        none = tuple(torch.zeros_like(source) for source in arrival.sources)
        return Flow(-math.inf, {n: torch.zeros_like(e) for n, e in leaves.items()}, none)
    slopes, source_slopes = _slopes(arrival, leaves)
    total = arrival.counts.detach()
    shares = {name: edge.detach() * slopes[name] / total for name, edge in leaves.items()}
    for name, share in shares.items():
        if not bool(torch.isfinite(share).all()):
            raise NonFiniteError(
                f"the counts of the channels before '{name}' differ by more than a factor of 2**1000, which one "
                "exponent a tensor cannot hold; look at the reachability alone (nodepath.effective)"
            )
    return Flow(log2(arrival), shares, tuple(slope / total for slope in source_slopes))


@torch.inference_mode(mode=False)
def reach(network: Network, masks: Mapping[str, Tensor]) -> Reach:
    """Which kept weights and which inputs lie on an input-output path, at the level of pixels.

    Boolean throughout: no count can overflow, and no weight that carries few paths is called dead.

    Args:
        network: The network.
        masks: Parameter name -> bool; all kept for what is absent.

    Cost: one forward and one backward pass in float32.
    """
    arrival, leaves = _send(network, masks, REACH)
    slopes, source_slopes = _slopes(arrival, leaves)
    live = {name: (edge.detach() > 0.5) & (slopes[name] > 0.5) for name, edge in leaves.items()}
    return Reach(live, tuple(slope > 0.5 for slope in source_slopes))


@torch.inference_mode(mode=False)
def openings(network: Network, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Which weights, kept or not, would lie on a path if they were kept and nothing else changed.

    Args:
        network: The network.
        masks: Parameter name -> bool; all kept for what is absent.

    Cost: as `reach`.
    """
    arrival, leaves = _send(network, masks, REACH)
    slopes, _ = _slopes(arrival, leaves)
    return {name: slopes[name] > 0.5 for name in leaves}


def count_paths(network: Network, masks: Mapping[str, Tensor], semantics: Semantics = EXACT) -> float:
    """log2 of the number of paths: a forward pass alone.

    Args:
        network: The network.
        masks: Parameter name -> bool; all kept for what is absent.
        semantics: How pooling is read.
    """
    with torch.no_grad():
        return log2(network.send(semantics, given(masks)))


def given(edges: Mapping[str, Tensor]) -> Weigh:
    """Edges by parameter name; what is absent is dense."""

    def weigh(site: Site, counts: Tensor, spread: Callable[[Tensor], Tensor]) -> Tensor:
        if site.name is not None and site.name in edges:
            return edges[site.name].to(counts)
        return dense_edges(site, counts, spread)

    return weigh


def _send(network: Network, edges: Mapping[str, Tensor], semantics: Semantics) -> tuple[Arrival, dict[str, Tensor]]:
    dtype = semantics.dtype(network.device)
    leaves = {
        name: (
            edges[name].detach().to(network.device, dtype, copy=True)
            if name in edges
            else torch.ones(layer.shape, device=network.device, dtype=dtype)
        ).requires_grad_()
        for name, layer in network.layers.items()
    }
    with torch.enable_grad():
        return network.send(semantics, given(leaves)), leaves


def _slopes(arrival: Arrival, leaves: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Derivatives of the sum of the outputs in each edge and in each input; zeros where nothing depends."""
    wanted = [*leaves.values(), *arrival.sources]
    if not arrival.counts.requires_grad:
        slopes = [torch.zeros_like(value) for value in wanted]
    else:
        found = torch.autograd.grad(arrival.counts, wanted, allow_unused=True)
        slopes = [torch.zeros_like(v) if slope is None else slope for v, slope in zip(wanted, found, strict=True)]
    return dict(zip(leaves, slopes, strict=False)), slopes[len(leaves) :]
