"""Slopes of the losses of single samples."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from nodepath.errors import ArgumentError, NonFiniteError
from nodepath.paths.nested import replace_tensors, tensors_in
from nodepath.scores.batch import rows, samples_in
from nodepath.scores.batch_norm import norms_of
from nodepath.scores.precision import at_least_single, without_autocast
from nodepath.scores.subject import Subject, usable

__all__ = ["mean_squared_slopes"]

_AT_ONCE = 1 << 25
"""So many slopes of single weights and samples are held at a time."""

_NO_BATCHING_RULE = "There is a performance drop because we have not yet implemented the batching rule"


@torch.inference_mode(mode=False)
def mean_squared_slopes(subject: Subject, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Mean over the samples of the squared derivative of a sample's loss in each weight.

    Several samples at a time where the model can be mapped over them, else one by one: the same numbers.

    Args:
        subject: What is scored; with bn "warmed-up", statistics are those of the whole batch.
        weights: Parameter name -> weight to run with, detached.

    Cost: a forward and a backward pass of each sample.

    Raises:
        ArgumentError: With bn "train-batch" the losses of samples are not apart; or see `Subject.slopes`.
        InputMismatchError, NonFiniteError: See `Subject.slopes`.
    """
    batch = subject.data
    if subject.bn == "train-batch" and norms_of(subject.network.model):
        raise ArgumentError(
            "bn is 'train-batch', with which the loss of a sample depends on the others of its batch, and this method "
            "takes each sample alone; pass bn='warmed-up' for the batch's statistics, or 'eval-identity' or 'frozen'"
        )
    subject.check_parts()
    weights = {name: at_least_single(weight) for name, weight in weights.items()}
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for given in batch.parts:
        with without_autocast(subject.network.device):
            _add_part(subject, weights, leaves, replace_tensors(given, usable), totals)
    return totals


def _add_part(
    subject: Subject,
    weights: Mapping[str, Tensor],
    leaves: Mapping[str, Tensor],
    part: tuple[Any, Any],
    totals: Mapping[str, Tensor],
) -> None:
    """Add the mean squares of the samples of one part, in place."""
    together = max(1, _AT_ONCE // sum(weight.numel() for weight in weights.values()))
    with torch.enable_grad():
        subject.loss_of(leaves, *part)  # complains of what is wrong; inside of a map nothing can be looked at
    settled, own = subject.settled(weights, part[0])
    fixed = {name: value for name, value in own.items() if name not in weights}
    samples = samples_in(part)
    for first in range(0, samples, together):
        some = rows(part, first, min(first + together, samples))
        squares = _together(settled, weights, fixed, some) if together > 1 else None
        for name, square in (squares or _in_turn(settled, leaves, fixed, some)).items():
            totals[name].add_(square / subject.data.samples)


def _together(
    subject: Subject, weights: Mapping[str, Tensor], fixed: Mapping[str, Tensor], part: tuple[Any, Any]
) -> dict[str, Tensor] | None:
    """Sums of squares over the samples; None if the model cannot be mapped over them."""
    tensors, samples = tensors_in(part), samples_in(part)
    axes = tuple(0 if tensor.ndim > 0 and len(tensor) == samples else None for tensor in tensors)

    def loss(own: dict[str, Tensor], *single: Tensor) -> Tensor:
        following = iter(zip(single, axes, strict=True))

        def as_batch(_: Tensor) -> Tensor:
            tensor, axis = next(following)
            return tensor if axis is None else tensor.unsqueeze(0)

        inputs, targets = replace_tensors(part, as_batch)
        return subject.data.mean_loss(subject.run({**own, **fixed}, inputs), targets).reshape(())

    try:
        with torch.enable_grad(), warnings.catch_warnings():
            # torch maps attention on the CPU sample by sample and says how slow that is: no slower than in turn
            warnings.filterwarnings("ignore", _NO_BATCHING_RULE, UserWarning)
            slopes, losses = vmap(grad_and_value(loss), in_dims=(None, *axes))(dict(weights), *tensors)
    except (RuntimeError, ValueError):
        return None  # it looks at values, or writes in place; one sample at a time it may
    _check(losses)
    return {name: slope.detach().square().sum(dim=0) for name, slope in slopes.items()}


def _in_turn(
    subject: Subject, leaves: Mapping[str, Tensor], fixed: Mapping[str, Tensor], part: tuple[Any, Any]
) -> dict[str, Tensor]:
    """Sums of squares over the samples."""
    totals = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    for sample in range(samples_in(part)):
        with torch.enable_grad():
            loss = subject.loss_of({**leaves, **fixed}, *rows(part, sample, sample + 1))
            slopes = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        for name, slope in zip(leaves, slopes, strict=True):
            if slope is not None:
                totals[name] += slope.square()
    return totals


def _check(losses: Tensor) -> None:
    if not bool(torch.isfinite(losses).all()):
        raise NonFiniteError("the loss of a sample of the score batch is not finite; check inputs, labels and weights")
