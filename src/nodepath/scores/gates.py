"""Which elements of an activation pass, recorded on data, and the network of all paths that they leave open."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from nodepath.errors import ArgumentError, InputMismatchError
from nodepath.paths import Network
from nodepath.paths.guard import evaluating
from nodepath.paths.nested import replace_tensors, tensors_in
from nodepath.paths.operations.elementwise import ACTIVATIONS, CENTRED, NOT_ZERO_AT_ZERO, SCALED
from nodepath.paths.surroundings import callers_device
from nodepath.scores.subject import Subject, usable

__all__ = ["open_paths"]

_GATES = frozenset([*ACTIVATIONS, *NOT_ZERO_AT_ZERO])
_IDENTITIES = frozenset([*CENTRED, *SCALED, "tanh", "sigmoid", "hardsigmoid"])


_SCALE = 2.0**-100
"""Of squared inputs in float32: sums over the paths of a ResNet-20 exceed 1e38, and all that comes out is linear."""


class _Record(TorchFunctionMode):
    """Takes down where the argument of each activation is positive, in the order of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[Tensor] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _name(function) in _GATES:
            self.gates.append(_argument(args, kwargs) > 0)
        with torch._C.DisableTorchFunction():
            return function(*args, **(kwargs or {}))


class _Replay(TorchFunctionMode):
    """Puts the recorded gates in the place of activations, and leaves norms out."""

    def __init__(self, gates: list[Tensor]) -> None:
        super().__init__()
        self.gates = iter(gates)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = _name(function)
        with torch._C.DisableTorchFunction():
            if name in _IDENTITIES:
                return _argument(args, kwargs)
            if name not in _GATES:
                return function(*args, **(kwargs or {}))
            values = _argument(args, kwargs)
            gate = next(self.gates, None)
            if gate is None or gate.shape != values.shape:
                raise ArgumentError(
                    "the model takes other steps on other numbers, so that the activations of one pass are not those "
                    "of the next; choose a method that runs it once, such as 'snip'"
                )
            in_place = function.__name__.endswith("_") or bool((kwargs or {}).get("inplace"))
            return values.mul_(gate) if in_place else values * gate


@torch.inference_mode(mode=False)
def open_paths(subject: Subject, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[Tensor]:
    r"""How much comes through the paths that data leave open, to each output.

    $$ z_k = \sum_x \sum_{p \to k} a_p(x) \, x_p^2 $$

    over the samples x of the batch and the paths p to output k between kept weights, which begin at the element $x_p$;
    $a_p(x)$ is 1 where each activation on the path has a positive argument when the model runs on x with `weights`.
    Norms and bounded functions are the identity, biases 0, pooling as the model pools.

    Args:
        subject: The network, its batch and the mode of BatchNorm, for the pass that is recorded.
        weights: Parameter name -> weight, 0 where pruned.
        masks: Parameter name -> which weights there are; all where absent.

    Returns:
        Of each tensor among the outputs one of its shape without the samples (1, ...), float64.

    Cost: a forward pass of the batch, and one in float64.

    Raises:
        ArgumentError: No batch, one in parts that BatchNorm would tell apart, inputs that are no numbers to square, or
            a model that takes other steps on other numbers.
        InputMismatchError: The model does not take the batch.
    """
    subject.check_parts()
    total: list[Tensor] = []
    for part in subject.data.parts:
        inputs = replace_tensors(part[0], usable)
        if not all(tensor.is_floating_point() for tensor in tensors_in(inputs)):
            raise ArgumentError(
                "the score batch holds whole numbers, and this method squares its inputs; choose 'snip'"
            )
        with torch.no_grad():
            try:
                with _Record() as record:
                    subject.run(weights, inputs)
                sums = _through(subject.network, weights, masks, inputs, record.gates)
            except (RuntimeError, ValueError, IndexError, TypeError) as error:
                line = " ".join(str(error).split())
                raise InputMismatchError(
                    f"the model does not take the score batch: {type(error).__name__}: {line}; pass inputs as the "
                    "model takes them (shape, dtype, device)"
                ) from error
        total = [a + b for a, b in zip(total, sums, strict=True)] if total else sums
    return total


def _through(
    network: Network, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], inputs: Any, gates: list[Tensor]
) -> list[Tensor]:
    """Sums over the samples of what comes out: in float32 if that holds it, which takes a third of the time."""
    single = all(weight.dtype != torch.float64 for weight in weights.values())
    for dtype, scale in ((torch.float32, _SCALE), (torch.float64, 1.0))[0 if single else 1 :]:
        state = network.model.state_dict(keep_vars=True)
        values = {name: tensor.detach().to(dtype) for name, tensor in state.items() if tensor.is_floating_point()}
        for name, weight in weights.items():
            values[name] = (masks[name] if name in masks else torch.ones_like(weight)).to(dtype)
            bias = f"{name.removesuffix('weight')}bias"
            if bias in values:
                values[bias] = torch.zeros_like(values[bias])
        squares = {id(tensor): tensor.to(dtype).square() * scale for tensor in tensors_in(inputs)}
        squared = replace_tensors(inputs, lambda tensor, squares=squares: squares[id(tensor)])  # type: ignore[misc]
        with evaluating(network.model), _Replay(gates), callers_device():
            outputs = functional_call(network.model, values, *_call(squared))
        sums = [tensor.double().sum(0, keepdim=True) / scale for tensor in tensors_in(outputs)]
        if all(bool(torch.isfinite(each).all()) for each in sums):
            break
    return sums


def _call(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)), {}


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", "")).rstrip("_")


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Tensor:
    found: Tensor = args[0] if args else (kwargs or {})["input"]
    return found
