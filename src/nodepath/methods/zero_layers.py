"""Layers that begin at zero, through which no flow of weights runs."""

import warnings
from dataclasses import replace

import torch

from nodepath.errors import ZeroLayerWarning
from nodepath.methods.problem import Problem

__all__ = ["with_zero_layers_drawn"]


def with_zero_layers_drawn(problem: Problem) -> Problem:
    """The task, with normal weights drawn for each layer whose own are all zero (a head that begins so, as in ViTs).

    A score of flow would be zero everywhere, though such a layer passes on what it gets as soon as training starts.
    Equal weights would not do: they lose their places all at once. The model keeps its zeros.

    Args:
        problem: The task; its generator draws.

    Warns:
        ZeroLayerWarning: There is one; names it.
    """
    zero = [name for name, weight in problem.weights.items() if not bool(weight.any())]
    if not zero:
        return problem
    warnings.warn(
        f"all weights of {', '.join(repr(name) for name in zero)} are zero, so no flow runs through; while scoring, "
        "normal ones drawn from the seed stand for them",
        ZeroLayerWarning,
        stacklevel=2,
    )
    drawn = {}
    for name in zero:
        weight = problem.weights[name]
        drawn[name] = torch.randn(weight.shape, generator=problem.generator, dtype=torch.float32).to(weight)
    return replace(problem, weights={**problem.weights, **drawn})
