"""Which weights of a kernel are kept."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from nodepath.methods.optimum.layout import Kernels

__all__ = ["DRAWS", "Best", "Drawn", "Pick", "by_paths", "chosen_cells"]

DRAWS = ("paths", "random")
"""How cells may be drawn."""

_SHARPNESS = 16
"""Power of the paths that cells are drawn by.

On a 32x32 map every cell of a 3x3 kernel sees nearly all paths, and the draw stays spread; on a 2x2 map a corner cell
sees a quarter, and what it passes on, the next layer's corner cells miss. In proportion (power 1) VGG-19 keeps 2,972 of
5,607 nodes at 99 %, with power 4 5,151, with 16 all; ResNet-20 always all 701."""


class Pick(Protocol):
    """Says which cells of some kernels are kept."""

    def first(self, rows: Tensor, columns: Tensor) -> Tensor:
        """One cell of each kernel, of those that carry paths."""

    def order(self, rows: Tensor, columns: Tensor) -> Tensor:
        """All cells of each kernel (kernels, cells), those that carry no paths last, in any order of them."""


def by_paths(cells: Tensor) -> Tensor:
    """Rates that go with a power of the paths that each cell would carry.

    Args:
        cells: Those paths (rows, cells).
    """
    rates = (cells / cells.amax(dim=1, keepdim=True).clamp(min=torch.finfo(cells.dtype).tiny)) ** _SHARPNESS
    return rates.clamp(min=1e-300) * (cells > 0)  # what carries a path may be drawn, however few it has


@dataclass(frozen=True)
class Drawn:
    """Draws without replacement, in proportion to rates.

    Attributes:
        rates: Of the cells of each row (rows, cells), 0 for those that carry no paths.
        generator: Draws.
    """

    rates: Tensor
    generator: torch.Generator

    @cached_property
    def _until(self) -> Tensor:
        until = self.rates.cumsum(1)
        return until / until[:, -1:]

    @cached_property
    def _log_rates(self) -> Tensor:
        return self.rates.log().float()

    def first(self, rows: Tensor, columns: Tensor) -> Tensor:
        """See `Pick`."""
        drawn = torch.rand(len(columns), 1, generator=self.generator, dtype=torch.float64)
        return (self._until[rows] <= drawn).sum(dim=1)

    def order(self, rows: Tensor, columns: Tensor) -> Tensor:
        """See `Pick`."""
        # the order in which clocks of these rates ring, as logarithms: these fit float32, which is sorted sooner
        rung = torch.rand(len(columns), self.rates.shape[1], generator=self.generator, dtype=torch.float32)
        rung.neg_().log1p_().neg_().log_()  # of exponential numbers; `exponential_` takes three times as long
        return rung.sub_(self._log_rates[rows]).argsort(dim=1)


@dataclass(frozen=True)
class Best:
    """The best by a score, ties to the earlier cell.

    Attributes:
        scores: (groups, outputs, inputs, cells), see `Layer.kernels`.
        live: Which cells of each row carry paths (rows, cells).
    """

    scores: Tensor
    live: Tensor

    def first(self, rows: Tensor, columns: Tensor) -> Tensor:
        """See `Pick`."""
        return self._wish(rows, columns).argmax(dim=1)

    def order(self, rows: Tensor, columns: Tensor) -> Tensor:
        """See `Pick`."""
        return self._wish(rows, columns).argsort(dim=1, descending=True, stable=True)

    def _wish(self, rows: Tensor, columns: Tensor) -> Tensor:
        inputs = self.scores.shape[2]
        return self.scores[rows // inputs, columns, rows % inputs].masked_fill(~self.live[rows], -torch.inf)


def chosen_cells(chosen: Kernels, live: Tensor, pick: Pick) -> tuple[Tensor, Tensor]:
    """The cells that each kernel keeps.

    Args:
        chosen: The open kernels, none of more weights than live cells.
        live: Which cells of each row carry paths (rows, cells).
        pick: Of kernels that do not keep all of these, which they do.

    Returns:
        Numbers of kernels and of cells, one entry a kept weight.
    """
    every = torch.arange(len(chosen.rows))
    if live.shape[1] == 1:
        return every, torch.zeros_like(every)
    alone = chosen.counts == 1
    full = (chosen.counts >= live.sum(dim=1)[chosen.rows]) & ~alone
    one, whole, some = every[alone], every[full], every[~(alone | full)]
    found = [(one, pick.first(chosen.rows[one], chosen.columns[one]))]
    if len(whole):
        kernel, cell = live[chosen.rows[whole]].nonzero(as_tuple=True)
        found.append((whole[kernel], cell))
    if len(some):
        order = pick.order(chosen.rows[some], chosen.columns[some])
        kernel, place = (torch.arange(order.shape[1]) < chosen.counts[some].unsqueeze(1)).nonzero(as_tuple=True)
        found.append((some[kernel], order[kernel, place]))
    return torch.cat([kernels for kernels, _ in found]), torch.cat([cells for _, cells in found])
