"""How BatchNorm behaves while a network is scored."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from nodepath.errors import ArgumentError

__all__ = [
    "BatchNormMode",
    "batch_norm_mode",
    "check_statistics",
    "fresh_statistics",
    "identity_statistics",
    "norms_of",
    "taking_statistics",
]

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


def identity_statistics(model: nn.Module, like: Tensor) -> dict[str, Tensor]:
    """Buffers and biases by name that leave of each BatchNorm its gamma: mean 0, variance 1, beta 0.

    Args:
        model: The model.
        like: Has the dtype and the device of statistics that a norm has none of.
    """
    values: dict[str, Tensor] = {}
    for name, norm in norms_of(model).items():
        prefix = f"{name}." if name else ""
        values |= _statistics(prefix, norm, like)
        if norm.bias is not None:
            values[f"{prefix}bias"] = torch.zeros_like(norm.bias)
    return values


def fresh_statistics(model: nn.Module, like: Tensor) -> dict[str, Tensor]:
    """Running statistics, mean 0 and variance 1, of each BatchNorm that has none (`track_running_stats=False`).

    Where a norm is given some, its eval mode takes those, and no longer the statistics of its batch.

    Args:
        model: The model.
        like: Has their dtype and device.
    """
    values: dict[str, Tensor] = {}
    for name, norm in norms_of(model).items():
        if norm.running_mean is None:
            prefix = f"{name}." if name else ""
            values |= _statistics(prefix, norm, like)
            values[f"{prefix}num_batches_tracked"] = like.new_zeros((), dtype=torch.long)
    return values


def _statistics(prefix: str, norm: nn.modules.batchnorm._BatchNorm, like: Tensor) -> dict[str, Tensor]:
    mean = like.new_zeros(norm.num_features) if norm.running_mean is None else torch.zeros_like(norm.running_mean)
    return {f"{prefix}running_mean": mean, f"{prefix}running_var": torch.ones_like(mean)}


def check_statistics(model: nn.Module) -> None:
    """Refuse to freeze what is not there.

    Raises:
        ArgumentError: A BatchNorm has no running statistics; names it.
    """
    for name, norm in norms_of(model).items():
        if norm.running_mean is None:
            raise ArgumentError(
                f"bn is 'frozen', and BatchNorm '{name}' has no running statistics (track_running_stats=False); pass "
                "bn='train-batch' for those of the batch, or 'warmed-up' or 'eval-identity'"
            )


@contextmanager
def taking_statistics(model: nn.Module) -> Iterator[None]:
    """Within the block a forward pass turns running statistics into those of its batch; afterwards norms run with them.

    Args:
        model: In eval mode; run with `fresh_statistics` in the place of those that it lacks.
    """
    norms = list(norms_of(model).values())
    before = [(norm.momentum, norm.track_running_stats) for norm in norms]
    try:
        for norm in norms:
            norm.training, norm.momentum, norm.track_running_stats = True, 1.0, True
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.training, norm.momentum, norm.track_running_stats = False, momentum, tracked
