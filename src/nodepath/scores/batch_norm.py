"""How BatchNorm behaves while a network is scored."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from nodepath.errors import ArgumentError

__all__ = ["BatchNormMode", "batch_norm_mode", "identity_statistics", "norms_of", "taking_statistics"]

BatchNormMode = Literal["eval-identity", "frozen", "train-batch", "warmed-up"]
_NORMS = nn.modules.batchnorm._BatchNorm


def batch_norm_mode(name: str) -> BatchNormMode:
    """Check the name of a BatchNorm mode.

    Raises:
        ArgumentError: An unknown one.
    """
    if name not in get_args(BatchNormMode):
        raise ArgumentError(f"bn is '{name}'; choose one of {', '.join(get_args(BatchNormMode))}")
    return name  # type: ignore[return-value]  # checked


def norms_of(model: nn.Module) -> dict[str, nn.modules.batchnorm._BatchNorm]:
    """The BatchNorm modules by name, "" for the model itself."""
    return {name: module for name, module in model.named_modules() if isinstance(module, _NORMS)}


def identity_statistics(model: nn.Module) -> dict[str, Tensor]:
    """Buffers and biases by name that leave of each BatchNorm its gamma: mean 0, variance 1, beta 0."""
    values: dict[str, Tensor] = {}
    for name, norm in norms_of(model).items():
        prefix = f"{name}." if name else ""
        if norm.running_mean is not None and norm.running_var is not None:
            values[f"{prefix}running_mean"] = torch.zeros_like(norm.running_mean)
            values[f"{prefix}running_var"] = torch.ones_like(norm.running_var)
        if norm.bias is not None:
            values[f"{prefix}bias"] = torch.zeros_like(norm.bias)
    return values


@contextmanager
def taking_statistics(model: nn.Module) -> Iterator[None]:
    """Within the block a forward pass turns running statistics into those of its batch; afterwards norms run with them.

    Args:
        model: In eval mode.
    """
    norms = [norm for norm in norms_of(model).values() if norm.running_mean is not None]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.training, norm.momentum = True, 1.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.training, norm.momentum = False, momentum
