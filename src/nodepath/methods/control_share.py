"""Weights that steer and carry no paths: what a method that scores by paths keeps of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nodepath.budgets import Erk
from nodepath.methods.problem import Problem
from nodepath.methods.selection import keep_best_by_layer
from nodepath.paths.reach import steering

__all__ = ["ControlShare", "control_share"]


@dataclass(frozen=True)
class ControlShare:
    """The part of a network that no score by paths can rank.

    Attributes:
        cells: Parameter name -> which weights steer and carry no paths; layers without any are absent.
        kept: Which of them are kept.
    """

    cells: Mapping[str, Tensor]
    kept: Mapping[str, Tensor]

    def number(self, name: str) -> int:
        """How many weights of a layer steer."""
        return int(self.cells[name].sum()) if name in self.cells else 0

    def number_kept(self, name: str) -> int:
        """How many of them are kept."""
        return int(self.kept[name].sum()) if name in self.kept else 0


def control_share(problem: Problem) -> ControlShare:
    """Keep at random as large a share of what steers as ERK (or the counts asked for) keeps of the whole layer.

    Args:
        problem: The task.

    Cost: a pass over the channels, once a task.
    """
    cells = {name: mask for name, mask in steering(problem.network).items() if name in problem.included}
    if not cells:
        return ControlShare({}, {})
    counts = problem.layer_counts() or Erk()(problem.layers, problem.keep)
    numbers = {name: round(counts[name] * int(mask.sum()) / mask.numel()) for name, mask in cells.items()}
    # what carries paths must be able to take the rest
    room = problem.size - sum(int(mask.sum()) for mask in cells.values())
    for name, mask in cells.items():
        missing = problem.keep - sum(numbers.values()) - room
        numbers[name] += max(0, min(missing, int(mask.sum()) - numbers[name]))
    draws = {
        name: torch.rand(mask.shape, generator=problem.generator, dtype=torch.float64).to(mask.device)
        for name, mask in cells.items()
    }
    wish = {name: draw.masked_fill(~cells[name], -torch.inf) for name, draw in draws.items()}
    return ControlShare(cells, keep_best_by_layer(wish, numbers))
