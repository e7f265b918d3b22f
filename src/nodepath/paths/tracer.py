"""Run a model as it is, with path counts in place of activations."""

import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from nodepath.paths.call import Call
from nodepath.paths.graph import Graph
from nodepath.paths.nested import tensors_in
from nodepath.paths.semantics import Semantics
from nodepath.paths.signal import Signal, Storage
from nodepath.paths.site import Site, Weigh
from nodepath.paths.table import rule_for
from nodepath.paths.where import running_module

__all__ = ["PathTracer"]

_IN_PLACE = re.compile(r"__i(add|sub|mul|truediv)__|.*[^_]_")
_SAME_VALUES = {Tensor.to, Tensor.float, Tensor.half, Tensor.bfloat16, Tensor.double, Tensor.contiguous, Tensor.detach}


class PathTracer(TorchFunctionMode):
    """Intercepts every torch function of a forward pass and applies the table's rule.

    Tensors that depend on the input carry a `Signal`; everything else runs as it is.

    Args:
        model: For names in messages.
        semantics: What is sent.
        names: Parameter id -> name of what may be pruned.
        weigh: Gives the edges.
        dtype: Of the example input: what the model is told if it asks an activation.
    """

    def __init__(
        self, model: nn.Module, semantics: Semantics, names: Mapping[int, str], weigh: Weigh, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.model = model
        self.semantics = semantics
        self.weigh = weigh
        self.dtype = dtype
        self.graph = Graph()
        self.sites: list[Site] = []
        self.sources: list[Tensor] = []
        self._names = names
        self._with_slopes = torch.is_grad_enabled()
        self._signals: MutableMapping[Tensor, Signal] = WeakTensorKeyDictionary()
        self._casts: MutableMapping[Tensor, str] = WeakTensorKeyDictionary()
        self._derived: MutableMapping[Tensor, str] = WeakTensorKeyDictionary()
        self._stale: set[Storage] = set()
        self._written: dict[int, Tensor] = {}

    def source(self, shape: Iterable[int], device: torch.device) -> Tensor:
        """An input: one path ends at each of its elements. The slope of its counts tells which lie on a path."""
        ones = torch.ones(tuple(shape), dtype=self.semantics.dtype(device), device=device)
        ones.requires_grad_(self._with_slopes)
        axes = {len(self.sources): tuple(range(ones.ndim))}
        self.sources.append(ones)
        return self.carry(Signal(ones, 0, self.graph.add(()), axes))

    def carry(self, signal: Signal) -> Tensor:
        """A new tensor for the model to hold, that carries `signal`."""
        handle = signal.counts.detach()
        self._signals[handle] = signal
        return handle

    def signal(self, value: Any) -> Signal | None:
        """What a tensor carries, or None."""
        return self._signals.get(value) if isinstance(value, Tensor) else None

    def name_of(self, weight: Tensor) -> str | None:
        """The name of a prunable parameter, or of one that was merely cast; None for anything else."""
        return self._names.get(id(weight)) or self._casts.get(weight)

    def origin(self, weight: Tensor) -> str | None:
        """The prunable parameter that a constant was computed from, or None."""
        return self._derived.get(weight)

    def is_stale(self, signal: Signal) -> bool:
        """Whether its memory was written in place through another view."""
        return signal.storage in self._stale

    def where(self) -> str:
        """The innermost module that is running, by its name in the model."""
        return running_module(self.model, sys._getframe(1))

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Apply the rule of `function` if any argument carries paths, else run it."""
        kwargs = kwargs or {}
        tensors = list(tensors_in((args, kwargs)))
        signals = tuple(signal for signal in map(self._signals.get, tensors) if signal is not None)
        call = Call(self, function, signals)
        if any(self._lies_in_written_memory(tensor) for tensor in tensors):
            raise call.unknown("reads a constant whose memory an activation was written into through another view")
        if not signals:
            return self._untracked(function, tensors, args, kwargs)
        if kwargs.get("out") is not None:
            raise call.unknown("writes into out=")
        rule = rule_for(function)
        if rule is None:
            raise call.unknown("has no rule that says what it does to paths")
        if any(map(self.is_stale, signals)):
            raise call.unknown("reads a tensor whose memory was written in place through another view")
        # whatever the model does to gradients: the slopes of the counts are ours
        with torch.set_grad_enabled(self._with_slopes):
            result = rule(call, *args, **kwargs)
            if isinstance(result, Tensor) and _is_in_place(function, kwargs):
                self.overwrite(args[0], self._signals[result], call)
                return args[0]
            return result

    def overwrite(self, target: Tensor, signal: Signal, call: Call) -> None:
        """Let `target` carry something else; what else shares its memory may not be read any more.

        Raises:
            UnknownOperationError: `target` is a view of a constant, which would have to change as well.
        """
        before = self.signal(target)
        if before is None:
            if target._is_view():
                raise call.unknown("writes an activation in place into a view of a constant")
            self._written[target.untyped_storage().data_ptr()] = target
            self._signals[target] = replace(signal, storage=Storage())
        elif before.counts is signal.counts:
            self._signals[target] = replace(signal, storage=before.storage)  # no count changes, for no view
        else:
            self._stale.add(before.storage)
            self._signals[target] = replace(signal, storage=Storage())

    def _lies_in_written_memory(self, tensor: Tensor) -> bool:
        if not self._written or self.signal(tensor) is not None or tensor.layout != torch.strided:
            return False
        return tensor.untyped_storage().data_ptr() in self._written

    def _untracked(self, function: Any, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
        """Constants, run as they are; remembers which are computed from a prunable weight, or cast from one."""
        result = function(*args, **kwargs)
        cast = self.name_of(args[0]) if args and isinstance(args[0], Tensor) else None
        if cast is not None and function in _SAME_VALUES and result is not args[0]:
            self._casts[result] = cast
            return result
        origins = [self.name_of(t) or self._derived.get(t) for t in tensors]
        origin = next((name for name in origins if name is not None), None)
        if origin is not None:
            for made in tensors_in(result):
                if self.name_of(made) is None:
                    self._derived[made] = origin
        return result


def _is_in_place(function: Any, kwargs: Mapping[str, Any]) -> bool:
    return bool(kwargs.get("inplace")) or bool(_IN_PLACE.fullmatch(getattr(function, "__name__", "")))
