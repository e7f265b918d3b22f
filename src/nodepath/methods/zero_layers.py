"""Layers that begin at zero, through which no flow of weights runs."""

import warnings
from dataclasses import replace

import torch

from nodepath.errors import ZeroLayerWarning
from nodepath.methods.problem import Problem

__all__ = ["with_zero_layers_as_ones"]


def with_zero_layers_as_ones(problem: Problem) -> Problem:
    """The task, with ones for the weights of each layer that are all zero (a head that begins at zero, as in ViTs).

    A score of flow would be zero everywhere: as soon as training starts, such a layer passes on what it gets.

    Args:
        problem: The task.

    Warns:
        ZeroLayerWarning: There is one; names it.
    """
    zero = [name for name, weight in problem.weights.items() if not bool(weight.any())]
    if not zero:
        return problem
    warnings.warn(
        f"all weights of {', '.join(repr(name) for name in zero)} are zero, so no flow runs through; they count as "
        "ones while scoring",
        ZeroLayerWarning,
        stacklevel=2,
    )
    ones = {name: torch.ones_like(problem.weights[name]) for name in zero}
    return replace(problem, weights={**problem.weights, **ones})
