"""How many paths there are on average, where edges are drawn alike between all channels that live."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nodepath.paths.network import Network, log2
from nodepath.paths.semantics import EXACT
from nodepath.paths.site import Made, Part, Site, dense

__all__ = ["MeanField", "mean_field"]


@dataclass(frozen=True)
class MeanField:
    r"""The expected paths of a network of random masks, and how they grow.

    Attributes:
        log2_paths: log2 of the expected number of paths; -inf for none.
        shares: Part -> $\partial \log R / \partial \log d$ for the density $d$ of each cell, of the kernel's shape: the
            share of all paths that run through it. They sum to the layer's share of all paths.
    """

    log2_paths: float
    shares: dict[Part, Tensor]


@torch.inference_mode(mode=False)
def mean_field(
    network: Network, densities: Mapping[Part, Tensor], living: Mapping[Part, Tensor], *, slopes: bool = True
) -> MeanField:
    """Send expected numbers of paths.

    Between any living input and any living output of a layer, each cell of the kernel is kept with a probability of its
    own, independently from layer to layer; so the expectation of the product along a path is the product of the
    densities. Edges that do not differ between channels need no matrix: a layer costs as much as it has channels.

    Args:
        network: The network.
        densities: Part -> probability of each cell, of the kernel's shape (weight.shape[2:]; a scalar for a Linear);
            what is absent is dense.
        living: Part -> which outputs live (outputs of the part,), bool; what is absent: all.
        slopes: Ask for the shares.

    Cost: one forward (and one backward) pass in float64 in which every layer is depthwise.
    """
    logs = {
        part: each.to(network.device, torch.float64).log().requires_grad_(slopes) for part, each in densities.items()
    }
    alive = {part: each.to(network.device, torch.float64) for part, each in living.items() if not bool(each.all())}

    def weigh(site: Site, counts: Tensor, spread: Callable[[Tensor | None], Tensor]) -> Tensor | Made | None:
        part = (site.name or "", site.first_row)
        if part not in logs and part not in alive:
            return dense(site, counts, spread)
        folded = tuple(size == 1 for size in counts.shape)
        here = site.geometry.folded(folded) if network.resolution == "channel" else site.geometry
        ones = counts.new_ones(site.weight.shape[2:])
        made = here.spread_alike(counts, logs[part].exp().to(counts) if part in logs else ones)
        if part in alive:
            sizes = [1] * made.ndim
            sizes[here.axis] = -1
            made = made * alive[part].to(made).reshape(sizes)
        return Made(made)

    with network.at_rest(), torch.set_grad_enabled(slopes):
        arrival = network.send(EXACT, weigh)
        total = arrival.counts
        if not slopes or not total.requires_grad:
            return MeanField(log2(arrival), {part: torch.zeros_like(each) for part, each in logs.items()})
        found = torch.autograd.grad(total, list(logs.values()), allow_unused=True)
    value = total.item()
    shares = {
        part: torch.zeros_like(each) if slope is None else slope / value
        for (part, each), slope in zip(logs.items(), found, strict=True)
    }
    return MeanField(log2(arrival) if value > 0 else -math.inf, shares)
