"""Run a model as it is, with path counts in place of activations."""

import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode

from nodepath.errors import TransformedWeightError
from nodepath.paths.call import Call
from nodepath.paths.fingerprint import Fingerprint, digest
from nodepath.paths.graph import Graph
from nodepath.paths.known import Known
from nodepath.paths.nested import PLAIN, tensors_in
from nodepath.paths.semantics import Semantics
from nodepath.paths.signal import Signal, Storage
from nodepath.paths.site import Note, Site, Weigh
from nodepath.paths.steering import Switch
from nodepath.paths.table import Rule, begins_paths, is_plain, reads_constants, rule_for
from nodepath.paths.where import running_module

__all__ = ["Grain", "PathTracer", "SteeringError", "usual_axis"]

Grain = Literal["pixel", "channel", "outline"]
"""Which axes counts have in full: all; those that hold channels; none, which tells the graph and no counts."""

_IN_PLACE = re.compile(r"__i(add|sub|mul|truediv)__|.*[^_]_")
_SAME_VALUES = {Tensor.to, Tensor.float, Tensor.half, Tensor.bfloat16, Tensor.double, Tensor.contiguous, Tensor.detach}


class SteeringError(Exception):
    """Something steers in a walk that was told that nothing does; never leaves the package."""


def usual_axis(dims: int) -> int:
    """Which axis of an input of so many holds the channels, as far as is known before the graph is."""
    return 1 if dims > 3 else dims - 1


class PathTracer(TorchFunctionMode):
    """Intercepts every torch function of a forward pass and applies the table's rule.

    Tensors that depend on the input carry a `Signal`; everything else runs as it is.

    Args:
        model: For names in messages.
        semantics: What is sent.
        names: Parameter id -> name of what may be pruned.
        weigh: Gives the edges.
        dtype: Of the example input: what the model is told if it asks an activation.
        resolution: Which axes counts have in full.
        channels: Of each source, the axis of its channels; None: each unit is one. If not given: the usual axes.
        note: Takes down what passes the layers, when the slopes come back.
        row: Paths begin in this row of each input alone; None: in all.
        steers: Whether anything is steered, so that it matters where controls are zero.
        reads: Whether the fingerprint is taken. A walk that reads and is told that nothing steers ends with a
            `SteeringError` where something does.
    """

    def __init__(
        self,
        model: nn.Module,
        semantics: Semantics,
        names: Mapping[int, str],
        weigh: Weigh,
        dtype: torch.dtype,
        *,
        resolution: Grain = "pixel",
        channels: tuple[int | None, ...] | None = None,
        note: Note | None = None,
        row: int | None = None,
        steers: bool = True,
        reads: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.semantics = semantics
        self.weigh = weigh
        self.dtype = dtype
        self.resolution = resolution
        self.note = note
        self.graph = Graph()
        self.switch = Switch()
        self.takes_maxima = False
        self.largest_exponent = 0
        self.fingerprint = Fingerprint()
        self.sites: list[Site] = []
        self.sources: list[Tensor] = []
        self.source_shapes: list[torch.Size] = []
        self._channels = channels
        self._row = row
        self.steers = steers
        self.reads = reads
        self._names = names
        self._with_slopes = torch.is_grad_enabled()
        self._signals: Known[Signal] = Known()
        self._parts: Known[tuple[str, int]] = Known()
        self._derived: Known[str] = Known()
        self._indices: Known[bool] = Known()
        self._begun: Known[Tensor] = Known()
        self._unreadable: dict[Storage, str] = {}
        self._written: dict[int, Tensor] = {}
        self._blank: dict[torch.device, Tensor] = {}

    def source(self, shape: Iterable[int], device: torch.device) -> Tensor:
        """An input: one path ends at each of its elements. The slope of its counts tells which lie on a path."""
        shape = torch.Size(shape)
        sizes = list(shape)
        if self.resolution == "outline":
            sizes = [1] * len(shape)
        elif self.resolution == "channel":
            axis = usual_axis(len(shape)) if self._channels is None else self._channels[len(self.sources)]
            sizes = sizes if axis is None else [size if i == axis % len(sizes) else 1 for i, size in enumerate(sizes)]
        ones = torch.ones(sizes, dtype=self.semantics.dtype(device), device=device)
        if self._row is not None:
            ones[: self._row] = 0
            ones[self._row + 1 :] = 0
        ones = self.semantics.begin(ones)
        ones.requires_grad_(self._with_slopes)
        axes = {len(self.sources): tuple(range(ones.ndim))}
        self.sources.append(ones)
        self.fingerprint.add("source", *shape)
        self.source_shapes.append(shape)
        return self.carry(Signal(ones, shape, 0, self.graph.add(()), axes))

    def index(self, value: Tensor) -> Tensor:
        """An input that is no floating-point number: where an embedding or a layer reads it, paths begin."""
        self._indices[value] = True
        return value

    def carry(self, signal: Signal) -> Tensor:
        """A new tensor for the model to hold, that carries `signal`."""
        device = signal.counts.device
        if device not in self._blank:
            self._blank[device] = torch.zeros((), dtype=self.dtype, device=device)
        handle = self._blank[device].expand(signal.shape)
        self.largest_exponent = max(self.largest_exponent, signal.exponent)
        self._signals[handle] = signal
        return handle

    def moved(self, signal: Signal) -> Signal:
        """The same in new memory."""
        return replace(signal, storage=Storage())

    def signal(self, value: Any) -> Signal | None:
        """What a tensor carries, or None."""
        return self._signals.get(value) if isinstance(value, Tensor) else None

    def origin_of(self, constant: Tensor) -> str | None:
        """The parameter that a constant is, is a part of, or was computed from, or None."""
        return self.part_of(constant)[0] or self._derived.get(constant)

    def part_of(self, weight: Tensor) -> tuple[str | None, int]:
        """The prunable parameter that a tensor is, or some rows of, and the first row; (None, 0) for others."""
        name = self._names.get(id(weight))
        return (name, 0) if name is not None else self._parts.get(weight) or (None, 0)

    def check_untransformed(self, weight: Tensor) -> None:
        """A constant that is used as edges is no function of a prunable weight.

        Raises:
            TransformedWeightError: It is.
        """
        origin = self._derived.get(weight)
        if origin is not None:
            raise TransformedWeightError(
                f"{self.where()} computes its weight from the parameter '{origin}' before it uses it, so pruned "
                "zeros would not survive; remove the parametrization, or prune a model without this layer"
            )

    def unreadable(self, signal: Signal) -> str | None:
        """Why nothing may read it, or None."""
        return self._unreadable.get(signal.storage)

    def forbid(self, signal: Signal, why: str) -> None:
        """Nothing may read it or what shares its memory; whoever does gets an error that says why."""
        self._unreadable[signal.storage] = why

    def where(self) -> str:
        """The innermost module that is running, by its name in the model."""
        return running_module(self.model, sys._getframe(1))

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Apply the rule of `function` if any argument carries paths, else run it."""
        kwargs = kwargs or {}
        if is_plain(function):
            return function(*args, **kwargs)
        rule = rule_for(function)
        begins = begins_paths(function)
        if begins is not None and args and isinstance(args[0], Tensor) and self._indices.get(args[0]):
            if begins == "after":
                made = function(*args, **kwargs)
                return self.source(made.shape, made.device)
            if args[0].is_floating_point():
                args = (self._beginning(args[0]), *args[1:])
        tensors = tensors_in((args, kwargs) if kwargs else args)
        signals = tuple(signal for signal in map(self._signals.get, tensors) if signal is not None)
        call = Call(self, function, signals)
        why_not = self._why_not(tensors, signals, rule, kwargs)
        if why_not is not None:
            raise call.unknown(why_not)
        if rule is None or not signals:
            return self._untracked(function, tensors, args, kwargs)
        if self.reads:
            self._take_down(function, args, kwargs)
        with self._own_slopes():
            result = rule(call, *args, **kwargs)
            if isinstance(result, Tensor) and (_writes_in_place(function) or kwargs.get("inplace")):
                self.overwrite(args[0], call.signal(result), call)
                return args[0]
            if self.reads and self.switch.used and not self.steers:
                raise SteeringError
            return result

    def _own_slopes(self) -> AbstractContextManager[Any]:
        """Whatever the model does to gradients, and to what is saved for them: the slopes of counts are ours."""
        if not self._with_slopes:
            return torch.no_grad() if torch.is_grad_enabled() else nullcontext()
        hooks = saved_tensors_hooks(Tensor.detach, _itself)  # detached, or what makes a tensor would keep it alive
        if torch.is_grad_enabled():
            return hooks
        both = ExitStack()
        both.enter_context(torch.enable_grad())
        both.enter_context(hooks)
        return both

    def _why_not(
        self, tensors: list[Tensor], signals: tuple[Signal, ...], rule: Rule | None, kwargs: Mapping[str, Any]
    ) -> str | None:
        """Why a function cannot be followed, or None."""
        if self._written and any(map(self._lies_in_written_memory, tensors)):
            return "reads a constant whose memory an activation was written into through another view"
        if not signals:
            return None
        if kwargs.get("out") is not None:
            return "writes into out="
        if rule is None:
            return "has no rule that says what it does to paths"
        return next(filter(None, map(self.unreadable, signals)), None) if self._unreadable else None

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
            self._signals[target] = self.moved(signal)
        elif before.counts is signal.counts:
            self._signals[target] = replace(signal, storage=before.storage)  # no count changes, for no view
        else:
            self.forbid(before, "reads a tensor whose memory was written in place through another view")
            self._signals[target] = self.moved(signal)

    def _beginning(self, value: Tensor) -> Tensor:
        """What carries the paths that begin at an input that is no floating-point number."""
        begun = self._begun.get(value)
        if begun is None:
            begun = self._begun[value] = self.source(value.shape, value.device)
        return begun

    def _take_down(self, function: Any, args: Any, kwargs: Any) -> None:
        """Add to the fingerprint what decides about the counts after this function."""
        constants_matter = reads_constants(function)

        def described(value: Any) -> Any:
            if type(value) in PLAIN:
                return value
            if isinstance(value, Tensor):
                signal = self._signals.get(value)
                if signal is not None:
                    return "step", signal.step
                return digest(value) if constants_matter else tuple(value.shape)
            if isinstance(value, list | tuple):
                return tuple(map(described, value))
            return repr(value)  # a slice, a device; whatever else it is, it may not be kept alive

        # the table keeps the function, and with it its number
        self.fingerprint.add(id(function), *map(described, args), *map(described, kwargs.items()))

    def _lies_in_written_memory(self, tensor: Tensor) -> bool:
        if self.signal(tensor) is not None or tensor.layout != torch.strided:
            return False
        return tensor.untyped_storage().data_ptr() in self._written

    def _untracked(self, function: Any, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
        """Constants, run as they are; remembers which are made from a prunable weight, or are rows or casts of one."""
        result = function(*args, **kwargs)
        if any(map(self._indices.get, tensors)):
            for made in tensors_in(result):
                self._indices[made] = True
        origins = [self.part_of(t)[0] or self._derived.get(t) for t in tensors]
        origin = next((name for name in origins if name is not None), None)
        if origin is not None:
            for made in tensors_in(result):
                if self.part_of(made)[0] is not None:
                    continue
                row = self._row_of(function, made, args[0] if args else None)
                if row is None:
                    self._derived[made] = origin
                else:
                    self._parts[made] = (origin, row)
        return result

    def _row_of(self, function: Any, made: Tensor, first: Any) -> int | None:
        """The row of its parameter that a tensor begins with, if it is some rows of one, or a cast of one."""
        if not isinstance(first, Tensor):
            return None
        name, before = self.part_of(first)
        if name is None:
            return None
        row = _first_row(made, first)
        if row is None and function in _SAME_VALUES:
            row = 0
        return None if row is None else before + row


def _itself(saved: Tensor) -> Tensor:
    return saved


def _first_row(view: Tensor, base: Tensor) -> int | None:
    """Which row of `base` a view of some of its rows begins with; None if it is something else."""
    same = view.ndim == base.ndim and view.shape[1:] == base.shape[1:] and view.stride() == base.stride()
    if not same or view.untyped_storage().data_ptr() != base.untyped_storage().data_ptr():
        return None
    row, rest = divmod(int(view.storage_offset() - base.storage_offset()), base.stride(0))
    return row if rest == 0 else None


@cache
def _writes_in_place(function: Any) -> bool:
    return bool(_IN_PLACE.fullmatch(getattr(function, "__name__", "")))
