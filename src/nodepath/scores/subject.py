"""What is scored: a network, how to run it, data, and a source of randomness."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from nodepath.errors import ArgumentError, InputMismatchError, NonFiniteError
from nodepath.paths import Network
from nodepath.paths.guard import evaluating
from nodepath.paths.nested import replace_tensors
from nodepath.paths.substitution import run_with
from nodepath.scores.batch import Batch, samples_in
from nodepath.scores.batch_norm import (
    BatchNormMode,
    batch_norm_mode,
    check_statistics,
    fresh_statistics,
    identity_statistics,
    norms_of,
    taking_statistics,
)
from nodepath.scores.precision import at_least_single, without_autocast
from nodepath.scores.twice import are_cut_off

__all__ = ["BatchNormMode", "Subject", "batch_norm_mode", "usable"]

_IGNORED = -100
"""The label that cross-entropy passes over."""


@dataclass(frozen=True)
class Subject:
    """A user's model, to be run with other weights; the model itself is never touched.

    A batch may come in several parts, so that a large one fits in memory: one part is run at a time, and what it gives
    is weighed by its number of samples. The sum is that of the whole batch but for roundings, so masks are the same but
    for near-ties. Where BatchNorm takes the statistics of what it sees, that would not be so, and parts are refused.

    A model in half precision runs in float32 here, inputs and targets too; one in float64 in float64. The caller's
    autocast is left.

    Attributes:
        network: The model as a graph.
        generator: For scores that draw; on the CPU, so that draws are the same on any device.
        batch: Data, or None.
        bn: How BatchNorm behaves. "eval-identity": mean 0, variance 1, beta 0, gamma as it is; "frozen": the running
            statistics; "train-batch": those of the batch; "warmed-up": running statistics taken from the batch first.
    """

    network: Network
    generator: torch.Generator
    batch: Batch | None = None
    bn: BatchNormMode = "eval-identity"

    @torch.inference_mode(mode=False)
    def slopes(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Derivative of the mean loss over the batch in each weight.

        Args:
            weights: Parameter name -> weight to run with, detached.

        Cost: one forward and one backward pass.

        Raises:
            ArgumentError: There is no batch, or one in parts that BatchNorm would tell apart, or the loss is no
                differentiable scalar.
            InputMismatchError: The model or the loss does not take the batch.
            NonFiniteError: The loss is NaN or infinite.
        """

        def of_part(loss: Tensor, leaves: list[Tensor]) -> tuple[Tensor | None, ...]:
            return torch.autograd.grad(loss, leaves, allow_unused=True)

        return self._accumulated(weights, of_part)

    @torch.inference_mode(mode=False)
    def hessian_product(self, weights: Mapping[str, Tensor], vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Product of the Hessian of the mean loss over the batch, in the weights, with a vector.

        By a backward pass through the backward pass; attention is computed by its plain formula, since fused kernels
        cannot be differentiated twice.

        Args:
            weights: Parameter name -> weight to run with, detached.
            vectors: The same names -> values of the weights' shapes, detached.

        Cost: one forward pass, and about three backward passes.

        Raises:
            ArgumentError: See `slopes`; or something in the model cannot be differentiated twice.
            InputMismatchError, NonFiniteError: See `slopes`.
        """

        def of_part(loss: Tensor, leaves: list[Tensor]) -> tuple[Tensor | None, ...]:
            try:
                slopes = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
                pairs = [
                    (slope, vectors[name])
                    for name, slope in zip(weights, slopes, strict=True)
                    if slope is not None and slope.requires_grad  # the others are constant
                ]
                if not pairs:
                    return (None,) * len(leaves)
                outputs, directions = zip(*pairs, strict=True)
                if are_cut_off(outputs):
                    raise RuntimeError("a function in it is marked as once differentiable")
                return torch.autograd.grad(outputs, leaves, directions, allow_unused=True)
            except RuntimeError as error:
                if _out_of_memory(error):
                    raise
                raise ArgumentError(
                    "the model or the loss cannot be differentiated twice, as this method does: "
                    f"{' '.join(str(error).split())}; choose a method that takes slopes alone, such as 'snip'"
                ) from error

        with sdpa_kernel(SDPBackend.MATH):
            return self._accumulated(weights, of_part)

    def _accumulated(
        self,
        weights: Mapping[str, Tensor],
        of_part: Callable[[Tensor, list[Tensor]], tuple[Tensor | None, ...]],
    ) -> dict[str, Tensor]:
        """Sum over the parts of what each gives for each weight, weighed by samples."""
        batch = self.data
        self.check_parts()
        leaves = {name: at_least_single(weight).clone().requires_grad_() for name, weight in weights.items()}
        totals = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
        for inputs, targets in batch.parts:
            with torch.enable_grad(), without_autocast(self.network.device):
                loss = self.loss_of(leaves, *replace_tensors((inputs, targets), usable))
                found = of_part(loss, list(leaves.values()))
            for name, value in zip(leaves, found, strict=True):
                if value is not None:
                    totals[name] += value.detach() * (samples_in((inputs, targets)) / batch.samples)
            del loss, found  # and the graph with it, before the next part
        return totals

    @property
    def data(self) -> Batch:
        """The batch.

        Raises:
            ArgumentError: There is none.
        """
        if self.batch is None:
            raise ArgumentError("this score needs data: pass batch=(inputs, targets)")
        return self.batch

    def check_parts(self) -> None:
        """Refuse parts that BatchNorm would tell apart, and statistics to be frozen that there are none of.

        Raises:
            ArgumentError: There are several parts, and it takes statistics of each; or it has none of its own.
        """
        batch = self.data
        if self.bn == "frozen":
            check_statistics(self.network.model)
        if len(batch.parts) > 1 and self.bn in ("train-batch", "warmed-up") and norms_of(self.network.model):
            raise ArgumentError(
                f"batch comes in {len(batch.parts)} parts, and with bn='{self.bn}' BatchNorm would take statistics of "
                "each part instead of the whole; pass one part, or bn='eval-identity' or 'frozen'"
            )

    def loss_of(self, weights: Mapping[str, Tensor], inputs: Any, targets: Any) -> Tensor:
        """Mean loss over the samples of one part, a finite scalar that can be differentiated.

        Args:
            weights: Parameter name -> weight to run with.
            inputs: See `run`.
            targets: What the loss takes.

        Raises:
            ArgumentError, InputMismatchError, NonFiniteError: See `slopes`.
        """
        batch = self.data
        try:
            outputs = self.run(weights, inputs)
            _check_labels(batch, outputs, targets)
            loss = batch.mean_loss(outputs, targets)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            if isinstance(error, InputMismatchError) or _out_of_memory(error):
                raise
            line = " ".join(str(error).split())
            raise InputMismatchError(
                f"the model or the loss does not take the score batch: {type(error).__name__}: {line}; pass inputs as "
                "the model takes them (shape, dtype, device) and labels that it has outputs for"
            ) from error
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise ArgumentError(
                f"loss gives {shape}; it must be one number that can be differentiated, a mean over samples"
            )
        if not torch.isfinite(loss):
            raise NonFiniteError(f"the loss on the score batch is {loss.item()}; check inputs, labels and weights")
        return loss.reshape(())

    def run(self, weights: Mapping[str, Tensor], inputs: Any) -> Any:
        """The model's outputs with other weights and its BatchNorm in the mode chosen.

        Args:
            weights: Parameter name -> weight to run with.
            inputs: A tensor, a tuple or list of arguments, or a mapping of keyword arguments.

        Buffers that the forward pass writes into are copies.
        """
        if self.bn == "warmed-up":
            settled, weights = self.settled(weights, inputs)
            return settled.run(weights, inputs)
        replaced = self._replaced(weights)
        with evaluating(self.network.model):
            if self.bn == "train-batch":
                for norm in norms_of(self.network.model).values():
                    norm.training = True
            return self._call(replaced, inputs)

    def settled(self, weights: Mapping[str, Tensor], inputs: Any) -> tuple["Subject", dict[str, Tensor]]:
        """Take the statistics of the inputs, if `bn` is "warmed-up", once and for all.

        Returns:
            Subject and weights to run with instead; among the weights are BatchNorm's statistics.
        """
        if self.bn != "warmed-up":
            return self, dict(weights)
        model = self.network.model
        replaced = self._replaced(weights)
        with evaluating(model), taking_statistics(model), torch.no_grad():
            self._call(replaced, inputs)
        names = [f"{name}.{kind}" if name else kind for name in norms_of(model) for kind in _STATISTICS]
        statistics = {name: replaced[name] for name in names if name in replaced}
        return replace(self, bn="frozen"), {**statistics, **weights}

    def _replaced(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        model = self.network.model
        held = {name: parameter.detach() for name, parameter in model.named_parameters()}
        coarse = {name: own for name, own in held.items() if at_least_single(own) is not own}
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        like = next(iter(weights.values()))
        given = {"eval-identity": identity_statistics, "warmed-up": fresh_statistics}.get(self.bn)
        replaced = {**coarse, **buffers, **weights, **(given(model, like) if given else {})}
        return {name: at_least_single(tensor) for name, tensor in replaced.items()}

    def _call(self, replaced: dict[str, Tensor], inputs: Any) -> Any:
        kwargs = dict(inputs) if isinstance(inputs, Mapping) else {}
        args = () if kwargs else tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
        return run_with(self.network.model, replaced, args, kwargs)


_STATISTICS = ("running_mean", "running_var")


def usable(tensor: Tensor) -> Tensor:
    """Data as a score takes them: tensors made in inference mode cannot be differentiated through."""
    return at_least_single(tensor.clone() if tensor.is_inference() else tensor)


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.cuda.OutOfMemoryError) or "allocate memory" in str(error)


def _check_labels(batch: Batch, outputs: Any, targets: Any) -> None:
    """Labels that the model has no output for, before a GPU stumbles over them and is lost to the process.

    Raises:
        InputMismatchError: There are.
    """
    if batch.loss is not F.cross_entropy or not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
        return
    if targets.is_floating_point() or targets.ndim != outputs.ndim - 1 or targets.numel() == 0:
        return  # probabilities, or what cross-entropy itself complains of
    classes = outputs.shape[1] if outputs.ndim > 1 else outputs.shape[0]
    low, high = (int(value) for value in targets.where(targets != _IGNORED, 0).aminmax())
    if low < 0 or high >= classes:
        raise InputMismatchError(
            f"the score batch has label {low if low < 0 else high}, and the model {classes} outputs, for labels 0 .. "
            f"{classes - 1}; pass labels that it has outputs for, or a model with more of them"
        )
