"""Run a model as it is, with path counts in place of activations."""

import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils.weak import WeakTensorKeyDictionary

from nodepath.errors import TransformedWeightError, UnknownOperationError
from nodepath.paths.graph import Graph, Merge
from nodepath.paths.semantics import Semantics
from nodepath.paths.signal import Signal, Storage
from nodepath.paths.table import rule_for

__all__ = ["Call", "PathTracer", "Site", "Weigh"]


@dataclass(frozen=True)
class Site:
    """One use of a weight by a forward pass.

    Attributes:
        name: The weight's parameter name, or None for a fixed filter or a weight tied to an embedding.
        weight: The model's own tensor.
        groups: Groups of a convolution; 1 for a linear layer.
        transposed: The weight's axes are (in, out / groups, *kernel).
        linear: A matrix on the last axis, not a convolution.
        positions: At how many places each weight is used: output positions, or input positions if transposed.
        fresh: It reads the network's input through no other prunable layer.
    """

    name: str | None
    weight: Tensor
    groups: int
    transposed: bool
    linear: bool
    positions: int
    fresh: bool


class Weigh(Protocol):
    """Gives the edges of a layer when the signal reaches it."""

    def __call__(self, site: Site, counts: Tensor, spread: Callable[[Tensor], Tensor]) -> Tensor:
        """Edges of the weight's shape.

        Args:
            site: Where.
            counts: The mantissas that arrive.
            spread: Applies edges to `counts`.
        """


class PathTracer(TorchFunctionMode):
    """Intercepts every torch function of a forward pass and applies the table's rule.

    Tensors that depend on the input carry a `Signal`; everything else runs as it is.

    Args:
        model: For names in messages.
        semantics: What is sent.
        names: Parameter id -> name of what may be pruned.
        tied: Parameter id -> name of weights that an embedding owns.
        weigh: Gives the edges.
    """

    def __init__(
        self, model: nn.Module, semantics: Semantics, names: Mapping[int, str], tied: Mapping[int, str], weigh: Weigh
    ) -> None:
        super().__init__()
        self.model = model
        self.semantics = semantics
        self.names = names
        self.tied = tied
        self.weigh = weigh
        self.graph = Graph()
        self.sites: list[Site] = []
        self._signals: MutableMapping[Tensor, Signal] = WeakTensorKeyDictionary()
        self._derived: MutableMapping[Tensor, str] = WeakTensorKeyDictionary()
        self._stale: set[Any] = set()

    def source(self, shape: Iterable[int], device: torch.device) -> Tensor:
        """An input: one path ends at each of its elements. Its gradient tells which lie on a path."""
        ones = torch.ones(tuple(shape), dtype=self.semantics.dtype(device), device=device, requires_grad=True)
        self._signals[ones] = Signal(ones, 0, self.graph.add(()), fresh=True)
        return ones

    def signal(self, value: Any) -> Signal | None:
        """What a tensor carries, or None."""
        return self._signals.get(value) if isinstance(value, Tensor) else None

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Apply the rule of `function` if any argument carries paths, else run it."""
        kwargs = kwargs or {}
        tensors = list(_tensors((args, kwargs)))
        signals = [signal for signal in map(self._signals.get, tensors) if signal is not None]
        call = Call(self, function, tuple(signals))
        if not signals:
            return self._untracked(function, tensors, args, kwargs)
        rule = rule_for(function)
        if rule is None:
            raise call.unknown("has no rule that says what it does to paths")
        if any(signal.storage in self._stale for signal in signals):
            raise call.unknown("reads a tensor whose memory was written in place through another view")
        result = rule(call, *args, **kwargs)
        if _is_in_place(function, kwargs) and isinstance(result, Tensor) and result is not args[0]:
            self.overwrite(args[0], self._signals[result])
            return args[0]
        return result

    def _untracked(self, function: Any, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
        """Constants, run as they are; remembers which are computed from a prunable weight."""
        result = function(*args, **kwargs)
        origins = [self.names.get(id(t)) or self._derived.get(t) for t in tensors]
        origin = next((name for name in origins if name is not None), None)
        if origin is not None:
            for made in _tensors(result):
                if id(made) not in self.names:
                    self._derived[made] = origin
        return result

    def record(self, tensor: Tensor, signal: Signal) -> None:
        """Let `tensor` carry `signal`."""
        self._signals[tensor] = signal

    def origin(self, weight: Tensor) -> str | None:
        """The prunable parameter that a constant was computed from, or None."""
        return self._derived.get(weight)

    def overwrite(self, target: Tensor, signal: Signal) -> None:
        """Let `target` carry something else from now on; other views of its memory may not be read any more."""
        before = self.signal(target)
        if before is not None:
            self._stale.add(before.storage)
        self._signals[target] = replace(signal, storage=Storage())

    def where(self) -> str:
        """The innermost module that is running, by its name in the model."""
        return running_module(self.model, sys._getframe(1))


@dataclass(frozen=True)
class Call:
    """One intercepted function: what a rule works with.

    Attributes:
        tracer: Whose call it is.
        function: The torch function; inside a rule it runs as it is.
        inputs: The signals among its arguments.
    """

    tracer: PathTracer
    function: Any
    inputs: tuple[Signal, ...]

    @property
    def semantics(self) -> Semantics:
        """What is sent."""
        return self.tracer.semantics

    def tracks(self, value: Any) -> bool:
        """Whether `value` carries paths."""
        return self.tracer.signal(value) is not None

    def signal(self, value: Any) -> Signal:
        """What `value` carries.

        Raises:
            UnknownOperationError: Nothing; some other argument must depend on the input.
        """
        signal = self.tracer.signal(value)
        if signal is None:
            raise self.unknown("depends on the input through an argument other than its first")
        return signal

    def settle(self, counts: Tensor, exponent: int) -> tuple[Tensor, int]:
        """See `Semantics.settle`."""
        return self.semantics.settle(counts, exponent)

    def aligned(self, values: Iterable[Tensor]) -> tuple[list[Tensor], int]:
        """The counts of several tensors with one exponent; zeros for what carries no paths."""
        values = list(values)
        signals = [self.tracer.signal(value) for value in values]
        exponent = max(signal.exponent for signal in signals if signal is not None)
        like = self.inputs[0].counts
        counts = []
        for value, signal in zip(values, signals, strict=True):
            if signal is None:
                counts.append(like.new_zeros(value.shape))
            elif signal.exponent == exponent:
                counts.append(signal.counts)
            else:
                counts.append(signal.counts * 2.0 ** max(signal.exponent - exponent, -1100))
        return counts, exponent

    def emit(self, counts: Tensor, exponent: int, merges: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """A tensor that carries `counts` on through the model.

        Args:
            counts: Mantissas.
            exponent: Theirs.
            merges: The two operands, if this is where two branches meet.
        """
        return self._carry(counts, exponent, self._step(merges), fresh=all(s.fresh for s in self.inputs))

    def _step(self, merges: tuple[Tensor, Tensor] | None = None) -> int:
        graph = self.tracer.graph
        if merges is not None:
            left, right = (self.signal(value) for value in merges)
            live = (True, True)
            if self.semantics.boolean:
                live = (bool(left.counts.any()), bool(right.counts.any()))
            graph.merges.append(Merge((left.step, right.step), live))
        return graph.add(tuple(signal.step for signal in self.inputs))

    def _carry(self, counts: Tensor, exponent: int, step: int, *, fresh: bool, storage: Any = None) -> Tensor:
        handle = counts if self.tracer.signal(counts) is None else counts.view_as(counts)
        signal = Signal(handle, exponent, step, fresh)
        self.tracer.record(handle, signal if storage is None else replace(signal, storage=storage))
        return handle

    def rearrange(self, args: Any, kwargs: Any, *, shares_memory: bool = False) -> Any:
        """Run the function itself on the counts: right for whatever moves elements without mixing them."""
        if len(self.inputs) != 1:
            raise self.unknown("rearranges more than one activation at once")
        (signal,) = self.inputs
        result = self.function(*_swap(args, self), **_swap(kwargs, self))
        step, storage = self._step(), signal.storage if shares_memory else None

        def carry(made: Any) -> Any:
            if isinstance(made, Tensor):
                return self._carry(made, signal.exponent, step, fresh=signal.fresh, storage=storage)
            return type(made)(map(carry, made)) if isinstance(made, list | tuple) else made

        return carry(result)

    def plainly(self, args: Any, kwargs: Any) -> Any:
        """Run the function on the tensors as they are; the result carries no paths."""
        return self.function(*args, **kwargs)

    def overwrite(self, target: Tensor, counts: Tensor, exponent: int) -> None:
        """An operation in place: `target` carries something else from now on."""
        fresh = all(signal.fresh for signal in self.inputs)
        self.tracer.overwrite(target, Signal(counts, exponent, self._step(), fresh))

    def apply(
        self,
        input: Tensor,
        weight: Tensor,
        spread: Callable[[Tensor, Tensor], Tensor],
        *,
        groups: int = 1,
        transposed: bool = False,
    ) -> Tensor:
        """Send the signal through the edges of a layer.

        Raises:
            TransformedWeightError: The weight is computed from a parameter.
            UnknownOperationError: The weight depends on the input.
        """
        tracer = self.tracer
        if tracer.signal(weight) is not None:
            raise self.unknown("has a weight that depends on the input")
        origin = tracer.origin(weight)
        if origin is not None:
            raise TransformedWeightError(
                f"{tracer.where()} computes its weight from the parameter '{origin}' before it uses it, so pruned "
                "zeros would not survive; remove the parametrization, or prune a model without this layer"
            )
        signal = self.signal(input)
        name = tracer.names.get(id(weight))
        linear = self.function.__name__ == "linear"
        outputs = weight.shape[1] * groups if transposed else weight.shape[0]
        site = Site(name, weight, groups, transposed, linear, 0, signal.fresh)
        edges = tracer.weigh(site, signal.counts, lambda edges: spread(signal.counts, edges))
        made = spread(signal.counts, edges)
        places = signal.counts.numel() // (weight.shape[0]) if transposed else made.numel() // outputs
        tracer.sites.append(replace(site, positions=places))
        step = tracer.graph.add((signal.step,), name)
        return self._carry(*self.settle(made, signal.exponent), step, fresh=signal.fresh and name is None)

    def unknown(self, why: str) -> UnknownOperationError:
        """The error for an operation that cannot be counted through."""
        name = resolve_name(self.function) or getattr(self.function, "__name__", str(self.function))
        return UnknownOperationError(
            f"{name} in {self.tracer.where()} {why}; declare it with nodepath.paths.register (see docs/paths.md)"
        )


_OPERATORS = {"__iadd__", "__isub__", "__imul__", "__itruediv__"}


def running_module(model: nn.Module, frame: FrameType | None) -> str:
    """The innermost module of `model` whose method is on the stack that ends at `frame`."""
    names = {id(module): name for name, module in model.named_modules()}
    while frame is not None:
        name = names.get(id(frame.f_locals.get("self")))
        if name is not None:
            return f"'{name}'" if name else f"the forward of {type(model).__name__}"
        frame = frame.f_back
    return f"the forward of {type(model).__name__}"


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)


def _swap(value: Any, call: Call) -> Any:
    """`value` with the counts in place of every tensor that carries paths."""
    if isinstance(value, Tensor):
        signal = call.tracer.signal(value)
        return value if signal is None else signal.counts
    if isinstance(value, list | tuple):
        return type(value)(_swap(each, call) for each in value)
    if isinstance(value, dict):
        return {key: _swap(each, call) for key, each in value.items()}
    return value


def _is_in_place(function: Any, kwargs: Mapping[str, Any]) -> bool:
    name: str = getattr(function, "__name__", "")
    return bool(kwargs.get("inplace")) or (name.endswith("_") and not name.endswith("__")) or name in _OPERATORS
