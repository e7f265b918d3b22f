"""The layer problem of node-path balancing, solved exactly by a greedy."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LayerProblem", "objective", "solve"]


@dataclass(frozen=True)
class LayerProblem:
    r"""How many weights to keep in each kernel of one layer (of one group, if it is grouped).

    $$ \max \; \alpha A + (1 - \alpha) B + \beta R \quad \text{subject to} \quad
       \textstyle\sum_{ij} m_{ij} \le n, \; 0 \le m_{ij} \le c_i $$

    with $m_{ij}$ the weights kept in the kernel from input i to output j,
    $A$ the share of the live inputs and of the outputs that have a kept weight,
    $B = \sum_{ij} P_i m_{ij} / P_{max}$ the paths, and $R = (n - \text{empty kernels}) / n$.

    Attributes:
        paths: $P_i \ge 0$, number of paths that reach input i (inputs,); inputs with 0 are taken out of the problem.
        outputs: Number of outputs.
        caps: $c_i$, the most weights in a kernel of input i (inputs,), integers.
        keep: n, at most the sum of `outputs * caps` over live inputs.
        alpha: Weight of nodes against paths.
        beta: Weight of open kernels.
    """

    paths: Tensor
    outputs: int
    caps: Tensor
    keep: int
    alpha: float
    beta: float

    @property
    def live(self) -> Tensor:
        """Inputs that paths reach (inputs,), bool."""
        return self.paths > 0

    @property
    def most_paths(self) -> float:
        """$P_{max}$: what `keep` weights reach at most, the richest inputs first; at least the smallest float."""
        order = torch.argsort(self.paths, descending=True, stable=True)
        room = self.outputs * self.caps[order]
        filled = (self.keep - (room.cumsum(0) - room)).clamp(min=0).minimum(room)
        return max(float((self.paths[order] * filled).sum()), torch.finfo(self.paths.dtype).tiny)


def solve(problem: LayerProblem) -> tuple[Tensor, Tensor]:
    """An optimal solution, exactly.

    Gains are concave and outputs exchangeable, so this is a min-cost flow whose optimum the greedy finds: spend on
    the unit of largest marginal gain. Per live input those are its first kernel, `alpha/N + beta/n + w`; its
    further kernels, `beta/n + w`; extra cells in open kernels, `w`. Each of the first `outputs` kernels opened wins
    `alpha/N` for its output besides, which changes no order: the richest input alone opens as many before any extra
    cell. Among equal gains kernels come before extra cells, and earlier inputs first.

    Args:
        problem: The layer.

    Returns:
        Kernels opened for each input (inputs,) and weights kept for each input (inputs,), integers. A row's kernels
        go to successive outputs, cyclically; its weights beyond one a kernel are extra cells.

    Cost: O(inputs log inputs).
    """
    live, outputs, n = problem.live, problem.outputs, problem.keep
    kernels = torch.zeros_like(problem.caps)
    kept = torch.zeros_like(problem.caps)
    inputs = live.nonzero().flatten()
    if n == 0 or not len(inputs):
        return kernels, kept
    node = problem.alpha / (len(inputs) + outputs)
    kernel = problem.beta / n
    gain = (1 - problem.alpha) * problem.paths[inputs] / problem.most_paths
    ones = torch.ones_like(inputs)
    room = outputs * (problem.caps[inputs] - 1)
    # Blocks of equal units: gain, kind (0 first kernel, 1 further kernels, 2 extra cells), input, how many.
    gains = torch.cat([gain + node + kernel, gain + kernel, gain])
    kinds = torch.cat([0 * ones, 1 * ones, 2 * ones])
    owners = torch.cat([torch.arange(len(inputs))] * 3)
    sizes = torch.cat([ones, (outputs - 1) * ones, room])

    order = torch.argsort(kinds, stable=True)  # among equal gains kernels first, then the earlier input
    order = order[torch.argsort(gains[order], descending=True, stable=True)]
    before = sizes[order].cumsum(0) - sizes[order]
    taken = torch.zeros_like(sizes)
    taken[order] = (n - before).clamp(min=0).minimum(sizes[order])
    owner = inputs[owners]
    kept.index_add_(0, owner, taken)
    kernels.index_add_(0, owner[kinds < 2], taken[kinds < 2])
    return kernels, kept


def objective(problem: LayerProblem, counts: Tensor) -> float:
    """The value of a solution.

    Args:
        problem: The layer.
        counts: $m_{ij}$, weights kept in each kernel (inputs, outputs).
    """
    live = problem.live
    counts = counts[live]
    nodes = counts.any(dim=1).sum() + counts.any(dim=0).sum()
    A = float(nodes) / (int(live.sum()) + problem.outputs)
    B = float((problem.paths[live].unsqueeze(1) * counts).sum()) / problem.most_paths
    R = (problem.keep - float((counts == 0).sum())) / problem.keep
    return problem.alpha * A + (1 - problem.alpha) * B + problem.beta * R
