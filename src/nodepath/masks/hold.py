"""Keep pruned weights at exactly zero while anybody's loop trains the rest."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from nodepath.errors import ArgumentError, MaskMismatchError
from nodepath.masks.match import match_parameters

__all__ = ["hold", "zero_"]


@dataclass
class HeldWeight:
    """A parameter and which of its elements are pruned."""

    parameter: nn.Parameter
    removed: Tensor

    def zero_weight(self) -> None:
        """Exact zeros, whatever stands there (NaN and infinity too, which a product with 0 would not mend)."""
        if self.removed.device != self.parameter.device:  # the user moved the model
            self.removed = self.removed.to(self.parameter.device)
        with torch.no_grad():
            self.parameter.masked_fill_(self.removed, 0)

    def zero_gradient(self, parameter: Tensor) -> None:
        """Post-accumulate-grad hook: what torch.nn.utils.prune's gradient would be."""
        gradient = parameter.grad
        if gradient is None:
            return
        removed = self.removed.to(gradient.device)
        if gradient.is_sparse:
            parameter.grad = gradient * ~removed
        else:
            gradient.masked_fill_(removed, 0)


def _held(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, HeldWeight]:
    parameters = match_parameters(model, masks)
    return {name: HeldWeight(parameter, ~masks[name].to(parameter.device)) for name, parameter in parameters.items()}


def zero_(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set the pruned weights of the model to zero, once; all is checked before anything is touched.

    Raises:
        MaskMismatchError: The model does not match; names the parameter.
    """
    parameters = match_parameters(model, masks)
    for name, parameter in parameters.items():
        HeldWeight(parameter, ~masks[name].to(parameter.device)).zero_weight()


def _as_optimizers(optimizer: Optimizer | Iterable[Optimizer] | None) -> list[Optimizer]:
    if optimizer is None:
        return []
    optimizers = [optimizer] if isinstance(optimizer, Optimizer) else optimizer
    if not isinstance(optimizers, Iterable):
        raise ArgumentError(
            f"optimizer is a {type(optimizer).__name__}; give a torch.optim.Optimizer or a list of them"
        )
    optimizers = list(optimizers)
    for one in optimizers:
        if not isinstance(one, Optimizer):
            raise ArgumentError(f"optimizers hold a {type(one).__name__}; give torch.optim.Optimizer objects")
    return optimizers


@contextmanager
def hold(
    masks: Mapping[str, Tensor],
    model: nn.Module,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    *,
    dense_gradients: bool = False,
) -> Iterator[None]:
    """Work behind `MaskSet.hold`, which documents it."""
    optimizers = _as_optimizers(optimizer)
    if dense_gradients and not optimizers:
        raise ArgumentError("dense_gradients=True without an optimizer would hold nothing; pass the optimizer too")
    held = _held(model, masks)

    def zero_weights(*_: Any) -> None:
        for weight in held.values():
            weight.zero_weight()

    handles: list[RemovableHandle] = []
    try:
        zero_weights()
        for weight in held.values():
            if weight.parameter.requires_grad and not dense_gradients:
                handle = weight.parameter.register_post_accumulate_grad_hook(weight.zero_gradient)  # type: ignore[no-untyped-call]
                handles.append(handle)
        # Momentum, weight decay and whatever the optimizer remembers from before move a weight whose gradient is zero.
        handles.extend(one.register_step_post_hook(zero_weights) for one in optimizers)
        yield
    finally:
        for handle in handles:
            handle.remove()
        zero_weights()
    for name, parameter in match_parameters(model, masks).items():
        if parameter is not held[name].parameter:
            raise MaskMismatchError(
                f"parameter '{name}' was replaced by another one while held, so its zeros were not kept; "
                "replace parameters before hold, or load_state_dict without assign=True"
            )
