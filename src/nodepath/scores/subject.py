"""What is scored: a network, how to run it, data, and a source of randomness."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nodepath.errors import ArgumentError, InputMismatchError, NonFiniteError
from nodepath.paths import Network
from nodepath.paths.guard import evaluating
from nodepath.paths.nested import replace_tensors
from nodepath.scores.batch import Batch

__all__ = ["BatchNormMode", "Subject", "batch_norm_mode"]

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


@dataclass(frozen=True)
class Subject:
    """A user's model, to be run with other weights; the model itself is never touched.

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
            ArgumentError: There is no batch, or the loss is no differentiable scalar.
            InputMismatchError: The model or the loss does not take the batch.
            NonFiniteError: The loss is NaN or infinite.
        """
        if self.batch is None:
            raise ArgumentError("this score needs data: pass batch=(inputs, targets)")
        leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
        totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for inputs, targets in self.batch.parts:
            with torch.enable_grad():
                loss = self._loss(leaves, *replace_tensors((inputs, targets), _usable))
                slopes = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
            for name, slope in zip(leaves, slopes, strict=True):
                if slope is not None:
                    totals[name] += slope * (len(targets) / self.batch.samples)
        return totals

    def _loss(self, weights: Mapping[str, Tensor], inputs: Any, targets: Any) -> Tensor:
        assert self.batch is not None  # looked at before
        try:
            loss = self.batch.loss(self.run(weights, inputs), targets)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
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
        model = self.network.model
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        replaced: dict[str, Tensor] = {**buffers, **weights}
        if self.bn == "eval-identity":
            replaced |= _identity_statistics(model)
        kwargs = dict(inputs) if isinstance(inputs, Mapping) else {}
        args = () if kwargs else tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
        with evaluating(model):
            if self.bn in ("train-batch", "warmed-up"):
                norms = [module for module in model.modules() if isinstance(module, _NORMS)]
                momenta = [norm.momentum for norm in norms]
                for norm in norms:
                    norm.training = True
                if self.bn == "warmed-up":
                    try:
                        for norm in norms:
                            norm.momentum = 1.0
                        with torch.no_grad():
                            functional_call(model, replaced, args, kwargs)
                    finally:
                        for norm, momentum in zip(norms, momenta, strict=True):
                            norm.momentum = momentum
                            norm.training = False
            return functional_call(model, replaced, args, kwargs)


def _usable(tensor: Tensor) -> Tensor:
    """Tensors made in inference mode cannot be differentiated through."""
    return tensor.clone() if tensor.is_inference() else tensor


def _identity_statistics(model: nn.Module) -> dict[str, Tensor]:
    values: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, _NORMS):
            prefix = f"{name}." if name else ""
            if module.running_mean is not None and module.running_var is not None:
                values[f"{prefix}running_mean"] = torch.zeros_like(module.running_mean)
                values[f"{prefix}running_var"] = torch.ones_like(module.running_var)
            if module.bias is not None:
                values[f"{prefix}bias"] = torch.zeros_like(module.bias)
    return values
