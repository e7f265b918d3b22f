"""Which cells of a kernel are kept: a draw without replacement."""

import numpy as np
import torch
from torch import Tensor

__all__ = ["drawn_cells"]

_TABLED = 12
"""Kernels of at most so many cells are drawn from a table of all their subsets, 4,096 at most."""


def drawn_cells(numbers: Tensor, gladly: Tensor, generator: torch.Generator) -> Tensor:
    """Draw cells one after the other, each in proportion to how gladly it is kept, without replacement.

    Args:
        numbers: How many cells of each kernel (kernels,), at most as many as may be kept.
        gladly: How gladly each cell is kept (cells,), >= 0; 0: never.
        generator: On the CPU.

    Returns:
        Bool (kernels, cells).

    Cost: O(kernels x cells); for small kernels one draw each.
    """
    if len(gladly) == 1:
        return (numbers > 0).unsqueeze(1)
    if len(gladly) > _TABLED:
        # Gumbel top-k: the k largest of log p + noise are such a draw
        noise = torch.empty(len(numbers), len(gladly), dtype=torch.float32).exponential_(generator=generator)
        keys = gladly.log().float() - noise.log()
        best = keys.sort(dim=1, descending=True).values.gather(1, numbers.clamp(min=1).unsqueeze(1) - 1)
        return (keys >= best) & (numbers > 0).unsqueeze(1)
    chances = _chances(gladly)
    bits = (torch.arange(len(chances)).unsqueeze(1) >> torch.arange(len(gladly))) % 2 > 0
    sizes = bits.sum(1)
    subsets = torch.zeros(len(numbers), dtype=torch.int64)  # the empty one
    for number in torch.unique(numbers).tolist():
        if number:
            mine, these = (numbers == number).nonzero().flatten(), (sizes == number).nonzero().flatten()
            bounds = chances[these].cumsum(0)
            draws = torch.rand(len(mine), generator=generator, dtype=torch.float64) * bounds[-1]
            subsets[mine] = these[torch.searchsorted(bounds, draws, right=True).clamp(max=len(these) - 1)]
    return bits.index_select(0, subsets)


def _chances(gladly: Tensor) -> Tensor:
    """The chance of each subset of cells, by its bits, to be what as many draws as it has cells bring."""
    weights = gladly.double().numpy()
    every = np.arange(1 << len(weights))
    held = sum(np.where(every >> cell & 1, weight, 0.0) for cell, weight in enumerate(weights))
    left = weights.sum() - held
    chances = np.zeros(len(every))
    chances[0] = 1.0
    sizes = sum(every >> cell & 1 for cell in range(len(weights)))
    for size in range(1, len(weights) + 1):
        made = every[sizes == size]
        for cell, weight in enumerate(weights):
            with_it = made[(made >> cell & 1) > 0]
            before = with_it ^ (1 << cell)
            open_ = chances[before] > 0
            chances[with_it[open_]] += chances[before[open_]] * weight / np.maximum(left[before[open_]], 1e-300)
    return torch.from_numpy(chances)
