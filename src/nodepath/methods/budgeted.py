"""A budget becomes a method: random cells at its exact layer counts."""

from dataclasses import dataclass

import torch

from nodepath.budgets import Budget
from nodepath.errors import ArgumentError
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.selection import keep_best_by_layer

__all__ = ["RandomCells"]


@dataclass(frozen=True)
class RandomCells:
    """Random weights in each layer, as many as the budget gives it.

    Args:
        budget: Shares the weights out among the layers.
    """

    budget: Budget

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        problem.layer_counts()  # an unknown scope says so, with the known ones
        if problem.scope is not None:
            raise ArgumentError(
                f"scope is '{problem.scope}', but this method is itself a budget, which a scope would replace; leave "
                "scope out, or use method 'random' with it"
            )
        counts = problem.counts or self.budget(problem.layers, problem.keep)
        draws = {
            layer.name: torch.rand(layer.shape, generator=problem.generator, dtype=torch.float64)
            for layer in problem.layers
        }
        masks = keep_best_by_layer(draws, counts)
        return Choice({name: mask.to(problem.network.device) for name, mask in masks.items()})
