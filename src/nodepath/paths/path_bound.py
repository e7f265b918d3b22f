"""The most paths that any mask of so many weights can have: an upper bound that holds for every network."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nodepath.paths.graph import Graph, longest_chain
from nodepath.paths.network import Network
from nodepath.paths.semantics import EXACT
from nodepath.paths.site import Made, Site, dense

__all__ = ["log10_path_bound"]

_TRIED = 16
"""Layer sizes at which the polynomials are looked at."""


class _Scaled(torch.autograd.Function):
    """Forwards the largest count and backwards the largest slope, times the largest gain of a layer."""

    @staticmethod
    def forward(ctx: Any, counts: Tensor, like: Tensor, gain: float) -> Tensor:
        ctx.shape, ctx.gain = counts.shape, gain
        return (counts.amax() * gain).expand_as(like).contiguous()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        return (slopes[0].amax() * ctx.gain).expand(ctx.shape), None, None


def log10_path_bound(network: Network, keep: int) -> float:
    r"""log10 of a number of paths that no mask with `keep` weights exceeds.

    The number of paths is $1^T A 1 \le \sqrt{XY} \, \|A\|_2$ for the network A with X inputs and Y outputs. A layer
    that keeps e weights, of kernels of k cells, is at most as large as its matrix of weights a kernel,
    $\sqrt{\sum m_{ij}^2} \le \sqrt{k e}$, since each cell merely shifts; and what lies between layers at most
    $\sqrt{\rho \kappa}$ for its largest row and column sums (Schur). Over all ways p through the layers, of m layers
    each, with $\prod_{l \in p} e_l \le (n/m)^m$ at $\sum e_l = n$:

    $$ \|A\|_2 \le \sum_p \prod_{l \in p} \sqrt{k_l e_l} \sqrt{\rho_p \kappa_p}
       \le \sum_{m \le L} (n/m)^{m/2} \sqrt{f_m g_m} $$

    by Cauchy and Schwarz, where $f_m$ are the coefficients of $F(z) = \sum_p z^m \prod \sqrt{k_l} \, \rho_p$, what
    arrives if every layer scales by $\sqrt{k_l} z$, and $g_m$ those of the same backwards. They are not negative, so
    $f_m \le \min_z F(z) / z^m$. A weight that is used q times counts q times. The paths of the dense network are a
    bound as well.

    Args:
        network: The network.
        keep: n, how many weights there are.

    Cost: 16 walks, forwards and backwards, in which a layer costs as much as it has channels.
    """
    with torch.no_grad():
        outline = network.send(EXACT, dense, resolution="outline").tracer
    uses = Counter((site.name, site.first_row) for site in outline.sites if site.name is not None)
    n = keep * max(uses.values())
    graph: Graph = outline.graph
    depth = longest_chain(graph, range(len(graph.parents)))
    # far out, what no way through the layers has as its number of layers vanishes
    places = {max(1, round(depth ** (i / (_TRIED - 5)))) for i in range(_TRIED - 4)}
    scales = [*(math.sqrt(n / m) for m in places), *(math.sqrt(n / depth) * 10.0**far for far in (-6, -3, 3, 6))]
    found = [(math.log10(scale), *_log10_gains(network, scale)) for scale in scales]
    if not all(math.isfinite(forwards) for _, forwards, _, _ in found):
        return -math.inf
    terms = []
    for m in range(depth + 1):
        coefficients = [min(each[side] - m * each[0] for each in found) for side in (1, 2)]
        terms.append(sum(coefficients) / 2 + (m / 2 * math.log10(n / m) if m else 0.0))
    largest = max(terms)
    norm = largest + math.log10(sum(10 ** (term - largest) for term in terms))
    return min(norm + found[0][3], network.dense_log2_paths() * math.log10(2))


@torch.inference_mode(mode=False)
def _log10_gains(network: Network, scale: float) -> tuple[float, float, float]:
    """log10 of F(z), of the same backwards, and of the root of the number of inputs times outputs."""

    def weigh(site: Site, counts: Tensor, spread: Callable[[Tensor | None], Tensor]) -> Tensor | Made | None:
        if site.name is None:
            return dense(site, counts, spread)
        folded = tuple(size == 1 for size in counts.shape)
        here = site.geometry.folded(folded) if network.resolution == "channel" else site.geometry
        kernel = counts.new_ones(site.weight.shape[2:])
        with torch.no_grad():
            like = here.spread_alike(counts, kernel)
        return Made(_Scaled.apply(counts, like, scale * math.sqrt(kernel.numel())))

    with network.at_rest(), torch.enable_grad():
        arrival = network.send(EXACT, weigh)
        slopes = arrival.slopes()
    ends = sum(outputs.numel() for outputs in arrival.outputs)
    starts = sum(source.numel() for source in arrival.sources)
    most = max(float(outputs.detach().amax()) for outputs in arrival.outputs)
    steepest = max(float(slope.amax()) for slope in slopes)
    if most <= 0 or steepest <= 0:
        return -math.inf, -math.inf, 0.0
    exponent = arrival.exponent * math.log10(2)
    return math.log10(most) + exponent, math.log10(steepest) + exponent, math.log10(starts * ends) / 2
