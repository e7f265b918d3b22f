"""Which way the scores of DPaI go: more paths, more nodes, more kernels."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nodepath.paths.replay.edges import Edges

__all__ = ["Objective"]


@dataclass(frozen=True, kw_only=True)
class Objective:
    r"""Paths, nodes and kernels, each by its logarithm, and its slope in each weight of a mask.

    $$ J = (1 - \alpha) \log R_P + \alpha \left[ (1 - \beta) \log R_N + \beta \log R_C \right] $$

    With p(v) the share of all paths through a node v (an output channel of a layer) or a kernel (the weights from one
    channel to another; of a Linear, each weight):

    $$ R_N = \sum_v \tanh(\gamma \, p(v)), \qquad \frac{\partial \log R_N}{\partial m_j} \approx \frac{\gamma}{R_N}
    \left(1 - \tanh^2(\gamma \, p(v_j))\right) \frac{\partial \log R_P}{\partial m_j} $$

    for a weight j into $v_j$, and the same of kernels: of p(v), what this weight itself brings there, as in the paper,
    not how it changes what other weights bring nor the total.

    Args:
        alpha, beta, gamma: See `DPaI`.
        update: "paper": these slopes. "code": $\gamma \to \infty$, so that a weight gets the slope of paths times 1
            for a node or kernel without any path and 0 for the others; not divided by their numbers.
    """

    alpha: float
    beta: float
    gamma: float
    update: str

    def ascent(self, edges: Edges, slopes: Tensor) -> Tensor:
        """The slope of J in each weight.

        Args:
            edges: The mask.
            slopes: Of log R_P in each of its weights (weights,).

        Returns:
            Numbers >= 0 (weights,).
        """
        blocks = edges.blocks.values()
        through = slopes * edges.held
        kernels = [block.view(through).sum(2, keepdim=True) for block in blocks]
        nodes = [kernel.sum(3, keepdim=True) for kernel in kernels]
        of_nodes, of_kernels = self._pulls(nodes), self._pulls(kernels)
        made = torch.empty_like(slopes)
        for block, node, kernel in zip(blocks, map(of_nodes, nodes), map(of_kernels, kernels), strict=True):
            factor = (1 - self.alpha) + self.alpha * ((1 - self.beta) * node + self.beta * kernel)
            torch.mul(block.view(slopes), factor, out=block.view(made))
        return made

    def _pulls(self, shares: list[Tensor]) -> Callable[[Tensor], Tensor]:
        """What multiplies the slope of paths, given the shares of all nodes (or kernels)."""
        if self.update == "code":
            return lambda share: (share == 0).to(share)
        number = sum(float(torch.tanh(self.gamma * share).sum()) for share in shares)
        return lambda share: (1 - torch.tanh(self.gamma * share) ** 2) * (self.gamma / number)
