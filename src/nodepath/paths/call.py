"""One intercepted function: what a rule works with."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import resolve_name

from nodepath.errors import TransformedWeightError, UnknownOperationError
from nodepath.paths.graph import Merge
from nodepath.paths.nested import replace_tensors
from nodepath.paths.semantics import Semantics
from nodepath.paths.signal import Axes, Signal
from nodepath.paths.site import Site

if TYPE_CHECKING:
    from nodepath.paths.tracer import PathTracer

__all__ = ["Call"]


@dataclass(frozen=True)
class Call:
    """One intercepted function.

    Attributes:
        tracer: Whose call it is.
        function: The torch function; inside a rule it runs as it is.
        inputs: The signals among its arguments.
    """

    tracer: "PathTracer"
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
        return self.tracer.carry(Signal(counts, exponent, self._step(merges), self._sources(counts)))

    def keep(self, input: Tensor, *, shares_memory: bool) -> Tensor:
        """A tensor that carries what `input` does.

        Args:
            input: One of the arguments.
            shares_memory: The function may return the memory of its input.
        """
        signal = self.signal(input)
        kept = Signal(signal.counts, signal.exponent, self._step(), signal.sources)
        return self.tracer.carry(replace(kept, storage=signal.storage) if shares_memory else kept)

    def rearrange(self, args: Any, kwargs: Any, *, shares_memory: bool = False, permutes: bool = False) -> Any:
        """Run the function itself on the counts: right for whatever moves elements without mixing them.

        Args:
            args: Its arguments.
            kwargs: Its keyword arguments.
            shares_memory: The result may be a view of the input.
            permutes: It does nothing but change the order of axes.
        """
        if len(self.inputs) != 1:
            raise self.unknown("rearranges more than one activation at once")
        (signal,) = self.inputs
        result = self.function(*self._on_counts(args), **self._on_counts(kwargs))
        step = self._step()

        def carry(made: Tensor) -> Tensor:
            sources = {
                number: self._permuted(axes, signal.counts, args, kwargs)
                if permutes
                else _cut(axes, signal.counts, made)
                for number, axes in signal.sources.items()
            }
            moved = Signal(made, signal.exponent, step, sources)
            return self.tracer.carry(replace(moved, storage=signal.storage) if shares_memory else moved)

        return replace_tensors(result, carry)

    def overwrite(self, target: Tensor, counts: Tensor, exponent: int) -> None:
        """An operation in place: `target` carries something else from now on."""
        signal = Signal(counts, exponent, self._step(), self._sources(counts))
        self.tracer.overwrite(target, signal, self)

    def apply(
        self,
        input: Tensor,
        weight: Tensor,
        spread: Callable[[Tensor, Tensor], Tensor],
        *,
        groups: int = 1,
        transposed: bool = False,
        linear: bool = False,
    ) -> Tensor:
        """Send the signal through the edges of a layer.

        Args:
            input: What arrives.
            weight: The layer's weight.
            spread: Applies edges to counts.
            groups: Groups of a convolution.
            transposed: The weight's axes are (in, out / groups, *kernel).
            linear: A matrix on the last axis, not a convolution.

        Raises:
            TransformedWeightError: The weight is computed from a parameter.
            UnknownOperationError: The weight depends on the input.
        """
        tracer = self.tracer
        if tracer.signal(weight) is not None:
            raise self.unknown("has a weight that depends on the input")
        name, origin = tracer.name_of(weight), tracer.origin(weight)
        if origin is not None:
            raise TransformedWeightError(
                f"{tracer.where()} computes its weight from the parameter '{origin}' before it uses it, so pruned "
                "zeros would not survive; remove the parametrization, or prune a model without this layer"
            )
        signal = self.signal(input)
        outputs = weight.shape[1] * groups if transposed else weight.shape[0]
        axis = -1 if linear else signal.counts.ndim - weight.ndim + 1
        reads = tuple((number, None if axes is None else axes[axis]) for number, axes in signal.sources.items())
        site = Site(name, weight, groups, transposed, linear, 0, reads)
        edges = tracer.weigh(site, signal.counts, lambda edges: spread(signal.counts, edges))
        made = spread(signal.counts, edges)
        places = signal.counts.numel() // weight.shape[0] if transposed else made.numel() // outputs
        tracer.sites.append(replace(site, positions=places))
        step = tracer.graph.add((signal.step,), name)
        sources: Mapping[int, Axes] = {} if name is not None else dict.fromkeys(signal.sources)
        return tracer.carry(Signal(*self.settle(made, signal.exponent), step, sources))

    def unknown(self, why: str) -> UnknownOperationError:
        """The error for an operation that cannot be counted through."""
        name = resolve_name(self.function) or getattr(self.function, "__name__", str(self.function))
        return UnknownOperationError(
            f"{name} in {self.tracer.where()} {why}; declare it with nodepath.paths.register (see docs/paths.md)"
        )

    def _step(self, merges: tuple[Tensor, Tensor] | None = None) -> int:
        graph = self.tracer.graph
        if merges is not None:
            left, right = (self.signal(value) for value in merges)
            live = (True, True)
            if self.semantics.boolean:
                live = (bool(left.counts.any()), bool(right.counts.any()))
            graph.merges.append(Merge((left.step, right.step), live))
        return graph.add(tuple(signal.step for signal in self.inputs))

    def _sources(self, made: Tensor) -> dict[int, Axes]:
        """Where a mixture of the inputs comes from; axes stay what they are if all agree and no axis is lost."""
        found: dict[int, Axes] = {}
        if any(not signal.sources for signal in self.inputs):
            return found
        for signal in self.inputs:
            for number, axes in signal.sources.items():
                same = axes is not None and len(axes) == made.ndim
                agreed = axes if same and found.get(number, axes) == axes else None
                found[number] = agreed
        return found

    def _permuted(self, axes: Axes, counts: Tensor, args: Any, kwargs: Any) -> Axes:
        """Axes in the order that the function brings them to, told from a tensor whose sizes are the axes' numbers."""
        if axes is None:
            return None
        numbered = torch.empty([number + 2 for number in range(counts.ndim)], device="meta")

        def number(tensor: Tensor) -> Tensor:
            return tensor if self.tracer.signal(tensor) is None else numbered

        moved = self.function(*replace_tensors(args, number), **replace_tensors(kwargs, number))
        return tuple(axes[size - 2] for size in moved.shape)

    def _on_counts(self, value: Any) -> Any:
        """`value` with the counts in place of every tensor that carries paths."""

        def counts(tensor: Tensor) -> Tensor:
            signal = self.tracer.signal(tensor)
            return tensor if signal is None else signal.counts

        return replace_tensors(value, counts)


def _cut(axes: Axes, before: Tensor, after: Tensor) -> Axes:
    """Axes after a slice, or after a reshape that changes nothing; None once axes are merged, split or lost."""
    same = axes is not None and before.ndim == after.ndim and before.shape[0] == after.shape[0]
    # a slice shortens one axis and leaves the others; a reshape that keeps the number of axes changes two at least
    shorter = sum(a != b for a, b in zip(before.shape, after.shape, strict=False))
    return axes if same and shorter <= 1 and after.numel() <= before.numel() else None
