"""The layer problem of node-path balancing, solved exactly by a greedy."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["LayerProblem", "evenly", "objective", "solve"]

Numbers = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
"""Numpy, since a layer's inputs are few: torch takes five times as long to sort them."""


@dataclass(frozen=True)
class LayerProblem:
    r"""How many weights to keep in each kernel of a layer; the groups of a convolution share its budget.

    $$ \max \; \alpha A + (1 - \alpha) B + \beta R \quad \text{subject to} \quad
       \textstyle\sum_{ij} m_{ij} \le n, \; 0 \le m_{ij} \le c_i $$

    with $m_{ij}$ the weights kept in the kernel from input i to output j of its group,
    $A$ the share of the live inputs and of the outputs that have a kept weight,
    $B = \sum_{ij} P_i m_{ij} / P_{max}$ the paths, and $R = (n - \text{empty kernels}) / n$.

    Attributes:
        paths: $P_i \ge 0$, number of paths that reach input i (groups, inputs); inputs with 0 are taken out.
        outputs: Number of outputs of each group.
        caps: $c_i$, the most weights in a kernel of input i (groups, inputs), integers.
        keep: n, at most the sum of `outputs * caps` over live inputs.
        alpha: Weight of nodes against paths.
        beta: Weight of open kernels.
        slack: So large a share of B may be given up to spread the weights over more inputs; 0: none.
    """

    paths: Tensor
    outputs: int
    caps: Tensor
    keep: int
    alpha: float
    beta: float
    slack: float = 0.0

    @property
    def live(self) -> Tensor:
        """Inputs that paths reach (groups, inputs), bool."""
        return self.paths > 0

    @cached_property
    def most_paths(self) -> float:
        """$P_{max}$: what `keep` weights reach at most, the richest inputs first; at least the smallest float."""
        paths = self.paths.flatten()
        order = torch.argsort(paths, descending=True, stable=True)
        room = self.outputs * self.caps.flatten()[order]
        filled = (self.keep - (room.cumsum(0) - room)).clamp(min=0).minimum(room)
        return max(float((paths[order] * filled).sum()), torch.finfo(paths.dtype).tiny)


def solve(problem: LayerProblem) -> Tensor:
    """How many weights each input keeps in an optimal solution, exactly; with slack, in one that is nearly so.

    Gains are concave and the outputs of a group exchangeable, so this is a min-cost flow whose optimum the greedy
    finds: spend on the unit of largest marginal gain. Per live input those are its first kernel,
    `alpha/N + beta/n + w`; its further kernels, `beta/n + w`; extra cells in open kernels, `w`. Each of the first
    `outputs` kernels opened in a group wins `alpha/N` for its output besides: they come before any extra cell there,
    since the richest input alone opens as many.

    Among equal gains kernels come before extra cells, and equal inputs get equally much. With slack the richest inputs
    count as equal, as many as have on average `(1 - slack)` of the paths of the richest choice.

    Args:
        problem: The layer.

    Returns:
        Weights kept for each input (groups, inputs), integers. It is worth the optimum if each input opens as many
        kernels as it can, and those of a group lie in as many outputs as they can; with slack no less than
        `(1 - alpha) * slack` below.

    Cost: O(inputs log inputs).
    """
    if problem.keep == 0 or not bool(problem.live.any()):
        return torch.zeros_like(problem.caps)
    paths = problem.paths.numpy().ravel()
    optimal = _greedy(problem, paths)
    evened = _evened(problem, paths)
    if evened is not None:
        nearly = _greedy(problem, evened)
        if _value(problem, nearly) >= _value(problem, optimal) - (1 - problem.alpha) * problem.slack:
            return torch.from_numpy(nearly).reshape(problem.caps.shape)
    return torch.from_numpy(optimal).reshape(problem.caps.shape)


def _evened(problem: LayerProblem, paths: Numbers) -> Numbers | None:
    """Paths of the inputs, the richest of them equal; None if there is no slack for two."""
    order = np.argsort(-paths, kind="stable")[: np.count_nonzero(paths)]
    means = paths[order].cumsum() / np.arange(1, len(order) + 1)
    number = np.count_nonzero(means >= (1 - problem.slack) * problem.most_paths / problem.keep)
    if problem.slack == 0 or number < 2:
        return None
    evened = paths.copy()
    evened[order[:number]] = means[number - 1]
    return evened


def _greedy(problem: LayerProblem, paths: Numbers) -> Integers:
    """`solve`, for other paths than the problem's; what equal ones cannot share evenly goes to those of more paths."""
    caps, outputs, n = problem.caps.numpy().ravel(), problem.outputs, problem.keep
    groups, per_group = problem.caps.shape
    inputs = np.flatnonzero(paths)
    node = problem.alpha / (len(inputs) + groups * outputs)
    kernel = problem.beta / n
    gain = (1 - problem.alpha) * paths[inputs] / problem.most_paths
    # Blocks of equal units: gain, kind (0 first kernel, 1 further kernels, 2 extra cells), input, how many.
    ones = np.ones(len(inputs), dtype=np.int64)
    gains = np.concatenate([gain + node + kernel, gain + kernel, gain])
    sizes = np.concatenate([ones, (outputs - 1) * ones, outputs * (caps[inputs] - 1)])
    kinds = np.repeat(np.arange(3), len(inputs))
    owners = np.tile(inputs, 3)
    if groups > 1:
        first = _of_outputs(np.lexsort((kinds, -gains, owners // per_group)), owners // per_group, sizes, outputs)
        gains, kinds, owners = np.concatenate([gains + node, gains]), np.tile(kinds, 2), np.tile(owners, 2)
        sizes = np.concatenate([first, sizes - first])
    order = np.lexsort((kinds, -gains))
    gains, kinds, owners, sizes = gains[order], kinds[order], owners[order], sizes[order]
    ends = sizes.cumsum()
    last = min(int(np.searchsorted(ends, n)), len(ends) - 1)
    tied = (gains == gains[last]) & (kinds == kinds[last])
    start = int(np.flatnonzero(tied)[0])
    kept = np.zeros(len(caps), dtype=np.int64)
    np.add.at(kept, owners[:start], sizes[:start])
    room = np.zeros(len(caps), dtype=np.int64)
    np.add.at(room, owners[tied], sizes[tied])
    alike = np.flatnonzero(room)
    alike = alike[np.argsort(-problem.paths.numpy().ravel()[alike], kind="stable")]
    kept[alike] += evenly(room[alike], n - int(ends[start] - sizes[start]))
    return kept


def _of_outputs(order: Integers, groups: Integers, sizes: Integers, outputs: int) -> Integers:
    """How many units of each block are among the first `outputs` of its group, where each wins an output.

    In a single group that would change no order.
    """
    sorted_sizes, sorted_groups = sizes[order], groups[order]
    before = sorted_sizes.cumsum() - sorted_sizes
    starts = before[np.flatnonzero(np.diff(sorted_groups, prepend=-1))]
    place = np.unique(sorted_groups, return_inverse=True)[1]
    first = np.empty_like(sizes)
    first[order] = np.clip(outputs - (before - starts[place]), 0, sorted_sizes)
    return first


def _value(problem: LayerProblem, kept: Integers) -> float:
    """The objective, but for a constant, of a solution that is laid out as well as can be."""
    kept = kept.reshape(problem.caps.shape)
    opened = np.minimum(kept, problem.outputs)
    live = int(problem.live.sum())
    nodes = np.count_nonzero(kept) + np.minimum(opened.sum(axis=1), problem.outputs).sum()
    value = problem.alpha * float(nodes) / (live + len(kept) * problem.outputs)
    value += (1 - problem.alpha) * float((problem.paths.numpy() * kept).sum()) / problem.most_paths
    return value + problem.beta * float(opened.sum()) / problem.keep


def evenly(room: Integers, amount: int) -> Integers:
    """Share an amount out as evenly as the room allows; what is left over goes to the earlier ones.

    Args:
        room: The most that each can take (n,), integers that sum to at least `amount`.
        amount: What is shared out.

    Cost: O(n log n).
    """
    smallest = np.sort(room)
    # all get the level, but for those that are full below it
    full = smallest.cumsum() - smallest
    place = np.count_nonzero(full + smallest * np.arange(len(room), 0, -1) <= amount)
    if place == len(room):
        return room.copy()
    level, rest = divmod(amount - int(full[place]), len(room) - place)
    shares = np.minimum(room, level)
    shares[np.flatnonzero(room > level)[:rest]] += 1
    return shares


def objective(problem: LayerProblem, counts: Tensor) -> float:
    """The value of a solution.

    Args:
        problem: The layer.
        counts: $m_{ij}$, weights kept in each kernel (groups, inputs, outputs).
    """
    live = problem.live
    nodes = (counts.any(dim=2) & live).sum() + (counts * live.unsqueeze(2)).any(dim=1).sum()
    A = float(nodes) / (int(live.sum()) + counts.shape[0] * problem.outputs)
    B = float((problem.paths.unsqueeze(2) * counts).sum()) / problem.most_paths
    R = (problem.keep - float((counts[live] == 0).sum())) / problem.keep
    return problem.alpha * A + (1 - problem.alpha) * B + problem.beta * R
