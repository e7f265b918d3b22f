"""How many weights each layer keeps where as many paths as can be shall run through living channels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nodepath.methods.even.living import Block
from nodepath.methods.even.shared_out import Numbers, shared_out
from nodepath.paths.mean_field import mean_field
from nodepath.paths.network import Network
from nodepath.paths.site import Part

__all__ = ["Plan", "plan"]

_ROUNDS = 6
"""Most steps towards equal returns."""

_SETTLED = 0.01
"""No further step where the last one moved no layer's budget by more than this part of it."""


@dataclass(frozen=True)
class Plan:
    """How dense each layer is between living channels.

    Attributes:
        log2_paths: log2 of the number of paths that masks drawn so have on average.
        numbers: Part -> weights to keep, real numbers that sum to the budget.
        cells: Part -> what one more weight in each cell of a kernel would bring, relative to the others, of the
            kernel's shape; 0 where a cell carries no path.
    """

    log2_paths: float
    numbers: dict[Part, float]
    cells: dict[Part, Tensor]


def plan(
    network: Network,
    blocks: Sequence[Block],
    living: Mapping[Part, Tensor],
    keep: float,
    fixed: Mapping[Part, float] | None = None,
    rounds: int = _ROUNDS,
) -> Plan:
    r"""Share weights out among layers such that one more would bring as many paths in each.

    The number of paths R of an even mask grows with the weights $e_l$ of layer l as
    $\partial \log R / \partial \log e_l = S_l$, the share of all paths that run through the layer: 1 in a chain, less
    beside a skip. So $e_l \propto S_l$ at the most paths, within what it takes to keep each living channel on a path
    and what the layer holds. $S$ depends on $e$: a few rounds of the same step find both. Cells share a layer's weights
    in proportion to the paths that one more weight there would bring.

    Args:
        network: The network.
        blocks: What lies between living channels and carries paths.
        living: Part -> which outputs live, of all parts.
        keep: How many weights there are for them.
        fixed: Part -> its weights, where they are given.
        rounds: How many rounds at most.

    Cost: as many walks of `mean_field` as rounds (four, on the papers' networks), and one.
    """
    shapes = {block.part: block.layer.shape[2:] for block in blocks}
    cells = {part: torch.ones(shape, dtype=torch.float64) for part, shape in shapes.items()}
    first = mean_field(network, {part: torch.full(s, 0.5, dtype=torch.float64) for part, s in shapes.items()}, living)
    cells = {part: (first.shares[part] > 0).double().cpu() for part in cells}
    weights = dict.fromkeys(cells, 1.0)
    numbers: dict[Part, float] = {}
    found = first
    for _ in range(rounds):
        before = numbers
        caps = [block.pairs * int((cells[block.part] > 0).sum()) for block in blocks]
        if fixed is None:
            numbers = _amounts(blocks, [weights[block.part] for block in blocks], caps, keep)
        else:
            numbers = {b.part: min(float(fixed[b.part]), float(cap)) for b, cap in zip(blocks, caps, strict=True)}
        densities = {b.part: _densities(cells[b.part], numbers[b.part] / max(1, b.pairs)) for b in blocks}
        found = mean_field(network, densities, living)
        for part, density in densities.items():
            share = found.shares[part].cpu()
            weights[part] = float(share.sum())
            cells[part] = torch.where(density > 0, share / density.clamp(min=1e-300), 0.0)
        if before and all(abs(numbers[part] - before[part]) <= _SETTLED * before[part] for part in numbers):
            break
    return Plan(found.log2_paths, numbers, cells)


def _amounts(blocks: Sequence[Block], weights: Sequence[float], caps: Sequence[int], keep: float) -> dict[Part, float]:
    """In proportion to the weights, but enough for every living channel where that can be."""
    amounts = shared_out(np.array(weights), _least(blocks, np.array(caps, dtype=float), keep), np.array(caps), keep)
    return {block.part: float(amount) for block, amount in zip(blocks, amounts, strict=True)}


def _least(blocks: Sequence[Block], caps: Numbers, keep: float) -> Numbers:
    """The least that each layer gets.

    What hidden channels need comes first, of which a single layer writes or reads each; then the network's own inputs,
    then layers beside a skip, which others may stand in for. What does not fit is cut in proportion.
    """
    hidden, inputs, every = (
        np.minimum(caps, [max(1, getattr(block, name)) for block in blocks])  # no layer is left empty
        for name in ("least_hidden", "least_sole", "least")
    )
    least = hidden
    for more in (inputs - hidden, every - inputs):
        room = max(0.0, keep - least.sum())
        least = least + np.floor(more * min(1.0, room / max(1.0, more.sum())))
    return least


def _densities(cells: Tensor, number: float) -> Tensor:
    """Probabilities of the cells of a kernel that keeps so many on average."""
    gains = cells.flatten().numpy()
    shared = shared_out(gains, np.zeros(len(gains)), (gains > 0).astype(float), number)
    return torch.from_numpy(shared).reshape(cells.shape)
