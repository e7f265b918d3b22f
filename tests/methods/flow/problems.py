"""The task of a method, without the checks of `prune`."""

import torch
from torch import nn

from nodepath.methods.problem import Problem
from nodepath.paths import Network
from nodepath.scores import Subject

__all__ = ["problem_of"]


def problem_of(
    model: nn.Module, x: torch.Tensor, density: float, resolution: str = "pixel", scope: str | None = None
) -> Problem:
    network = Network(model.eval(), x, resolution)
    subject = Subject(network, torch.Generator().manual_seed(0))
    keep = max(1, round(density * network.prunable))
    return Problem(network, subject, network.weights(), tuple(network.layers), keep, scope)
