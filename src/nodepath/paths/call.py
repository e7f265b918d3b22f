"""One intercepted function: what a rule works with."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import resolve_name

from nodepath.errors import UnknownOperationError
from nodepath.paths.conversion import as_numbers
from nodepath.paths.fingerprint import digest
from nodepath.paths.folding import rearranged
from nodepath.paths.geometry import Geometry
from nodepath.paths.graph import Merge
from nodepath.paths.nested import replace_tensors
from nodepath.paths.passage import through
from nodepath.paths.semantics import Semantics
from nodepath.paths.signal import Axes, Role, Signal, Storage
from nodepath.paths.site import Made, Site
from nodepath.paths.steering import attached, gate

if TYPE_CHECKING:
    from nodepath.paths.tracer import PathTracer

__all__ = ["Call", "broadcast"]


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

    def picks_largest(self) -> bool:
        """Whether of a window the largest count wins; for rules of functions that take a maximum."""
        self.tracer.takes_maxima = True
        return self.semantics.maximum == "max"

    @property
    def folds(self) -> bool:
        """Whether axes other than the channels are folded."""
        return self.tracer.resolution != "pixel"

    def folded(self, signal: Signal) -> tuple[bool, ...]:
        """Of each axis, whether all along it are one; a spatial axis of length 1 is no other than a longer one."""
        axes = enumerate(zip(signal.counts.shape, signal.shape, strict=True))
        return tuple(self.folds and own == 1 and (size > 1 or axis > 1) for axis, (own, size) in axes)

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
                counts.append(like.new_zeros([1] * value.ndim if self.folds else value.shape))
            elif signal.exponent == exponent:
                counts.append(signal.counts)
            else:
                counts.append(signal.counts * 2.0 ** max(signal.exponent - exponent, -1100))
        return counts, exponent

    def emit(
        self,
        counts: Tensor,
        exponent: int,
        *,
        shape: torch.Size | None = None,
        merges: tuple[Tensor, Tensor] | None = None,
        role: Role | None = None,
        silent: bool | None = None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """A tensor that carries `counts` on through the model.

        Args:
            counts: Mantissas; axes of length 1 where folded.
            exponent: Theirs.
            shape: Of the activation; None: that of the counts.
            merges: The two operands, if this is where two branches meet.
            role: In a product; None: the lowest of the inputs'.
            silent: Zero where no path reaches; None: if all inputs are.
            offsets: Where it is not zero though no path reaches, of the shape of the counts; overrides `silent`.
        """
        shape = counts.shape if shape is None else shape
        role = min(signal.role for signal in self.inputs) if role is None else role
        silent = all(signal.silent for signal in self.inputs) if silent is None else silent
        if offsets is not None:
            silent, offsets = True, _where_any(offsets)
        if offsets is None and not silent and self.tracer.steers:
            offsets = counts.new_ones([1] * counts.ndim)
        if role is Role.ATTENTION and not self.semantics.boolean:
            counts, exponent = as_numbers(counts.detach() > 0, counts.dtype), 0
        step, sources = self._step(merges), self._sources(shape)
        return self.tracer.carry(Signal(counts, shape, exponent, step, sources, role, offsets))

    def keep(self, input: Tensor, *, shares_memory: bool, role: Role = Role.VALUE, silent: bool = True) -> Tensor:
        """A tensor that carries what `input` does.

        Args:
            input: One of the arguments.
            shares_memory: The function may return the memory of its input.
            role: At least this role.
            silent: The function is zero at zero.
        """
        signal = self.signal(input)
        offsets = signal.offsets
        if not silent and self.tracer.steers:
            offsets = signal.counts.new_ones([1] * signal.counts.ndim)
        storage = signal.storage if shares_memory else Storage()
        role = max(signal.role, role)
        kept = Signal(
            signal.counts, signal.shape, signal.exponent, self._step(), signal.sources, role, offsets, storage
        )
        return self.tracer.carry(kept)

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
        self.signal(args[0])
        (signal,) = self.inputs
        step = self._step()

        def run(counts: Tensor) -> Any:
            return self.function(*self._with(args, counts), **self._with(kwargs, counts))

        def rearrange(values: Tensor, each: Callable[[Tensor, torch.Size], Any]) -> Any:
            if self.folds:
                return rearranged(run, values, signal.shape, each)
            return replace_tensors(run(values), lambda made: each(made, made.shape))

        parts: list[Tensor] = []
        if signal.offsets is not None and signal.offsets.numel() > 1:
            rearrange(signal.offsets.expand_as(signal.counts), lambda made, _: parts.append(made))
        by_element = iter(parts)

        def carry(made: Tensor, shape: torch.Size) -> Tensor:
            offsets = signal.offsets
            if offsets is not None:
                offsets = _where_any(next(by_element)) if parts else offsets.reshape([1] * made.ndim)
            sources = {
                number: self._permuted(axes, signal.shape, args, kwargs)
                if permutes
                else _cut(axes, signal.shape, shape)
                for number, axes in signal.sources.items()
            }
            moved = replace(signal, counts=made, shape=shape, step=step, sources=sources, offsets=offsets)
            return self.tracer.carry(moved if shares_memory else self.tracer.moved(moved))

        return rearrange(signal.counts, carry)

    def overwrite(self, target: Tensor, counts: Tensor, exponent: int, *, silent: bool | None = None) -> None:
        """An operation in place: `target` carries something else from now on; see `emit`."""
        made = self.emit(counts, exponent, shape=target.shape, silent=silent)
        self.tracer.overwrite(target, self.signal(made), self)

    def unusable(self, like: Tensor, why: str) -> Tensor:
        """A tensor of the shape of `like` that the model may hold, but not use."""
        signal = self.tracer.moved(self.signal(like))
        self.tracer.forbid(signal, why)
        return self.tracer.carry(signal)

    def fit(self, counts: Tensor, shape: torch.Size) -> Tensor:
        """Counts with the axes of an activation of shape `shape`; where nothing folds, with its sizes as well."""
        if self.folds:
            return counts.reshape([1] * (len(shape) - counts.ndim) + list(counts.shape))
        return counts.expand(shape)

    def shape_of(self, input: Tensor, *args: Any, **kwargs: Any) -> torch.Size:
        """The shape that the function gives an activation of the shape of `input`."""
        made: Tensor = self.function(torch.empty(self.signal(input).shape, device="meta"), *args, **kwargs)
        return made.shape

    def offsets_at(self, value: Any, like: Tensor) -> Tensor:
        """1 where a value is not zero though no path reaches, of the shape of its counts `like`."""
        signal = self.tracer.signal(value)
        if signal is not None:
            return like.new_zeros(()).expand_as(like) if signal.offsets is None else signal.offsets.expand_as(like)
        if not isinstance(value, Tensor):
            return like.new_full((), float(value != 0)).expand_as(like)
        learned = isinstance(value, nn.Parameter) or self.tracer.origin_of(value) is not None
        return self.allowed(torch.ones_like(like), torch.ones_like(value, dtype=torch.bool) if learned else value != 0)

    def summed(self, signal: Signal, add_up: Callable[[Tensor], Tensor], shape: torch.Size, **options: Any) -> Tensor:
        """What a sum of elements with weights >= 0 carries on.

        Args:
            signal: What is summed.
            add_up: The sum, of counts of the signal's shape.
            shape: Of the result.
            options: See `emit`.
        """
        made, exponent = self.settle(add_up(signal.counts), signal.exponent)
        offsets = None
        if signal.offsets is not None and signal.offsets.numel() > 1 and self.tracer.steers:
            offsets = (add_up(signal.offsets.expand_as(signal.counts)) > 0).to(made)
        return self.emit(made, exponent, shape=shape, offsets=offsets, **options)

    def written_out(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The result of `function`, whose torch functions are followed by the table: for what others compose."""
        with self.tracer:
            return function(*args, **kwargs)

    def allowed(self, counts: Tensor, places: Tensor) -> Tensor:
        """Counts where `places` says so; along a folded axis, if it says so anywhere.

        Args:
            counts: Of the activation.
            places: Bool, of a shape that broadcasts to the activation's.
        """
        places = places.reshape([1] * (counts.ndim - places.ndim) + list(places.shape))
        if self.folds:
            folded = [axis for axis, size in enumerate(places.shape) if counts.shape[axis] == 1 < size]
            places = places.amax(folded, keepdim=True) if folded else places
        return counts * places.to(counts.device)

    def steer(self, value: Tensor, control: Tensor, *, kills: bool = True) -> Tensor:
        """The value, steered element by element by the control.

        Args:
            value: Carries the paths on.
            control: Lets them pass.
            kills: A control that is zero lets nothing pass.
        """
        signal, by = self.signal(value), self.signal(control)
        shape = broadcast(signal.shape, by.shape)
        self.semantics.pair(signal.counts, by.counts)
        factor = self.pattern(by, kills=kills)
        counts = signal.counts if factor is None else signal.counts * factor
        counts = self.fit(counts, shape)
        offsets = signal.offsets
        if offsets is not None and factor is not None:
            offsets = (offsets * factor.detach()).expand_as(counts)
        return self.emit(counts, signal.exponent, shape=shape, role=signal.role, silent=signal.silent, offsets=offsets)

    def pattern(self, control: Signal, *, kills: bool = True) -> Tensor | None:
        """What a control multiplies counts by: 1 where it lets pass, 0 elsewhere; None: 1."""
        offsets = control.offsets
        if control.role is Role.ATTENTION:
            offsets = None  # zero where it may not be read
        if not kills:
            offsets = control.counts.new_ones([1] * control.counts.ndim)
        factor = gate(control.counts, offsets, boolean=self.semantics.boolean, switch=self.tracer.switch)
        self.semantics.let_pass(factor)
        return factor

    def attention(self, counts: Tensor, shape: torch.Size, contributions: Tensor | None = None) -> Tensor:
        """A tensor that steers: `counts` are 1 where it may be read.

        Args:
            counts: The pattern, of axes of length 1 where folded.
            shape: Of the activation.
            contributions: Of what it is made; where it lives, they do (if reachability is sent).
        """
        if self.semantics.boolean and contributions is not None and contributions.requires_grad:
            counts = attached(counts, contributions, self.tracer.switch)
        return self.emit(counts, 0, shape=shape, role=Role.ATTENTION, silent=False)

    def apply(
        self,
        input: Tensor,
        weight: Tensor,
        geometry: Geometry,
        *,
        bias: Tensor | None,
    ) -> Tensor:
        """Send the signal through the edges of a layer.

        Args:
            input: What arrives.
            weight: The layer's weight.
            geometry: How it connects inputs to outputs.
            bias: The layer's; it starts no paths.

        Raises:
            TransformedWeightError: The weight is computed from a parameter.
            UnknownOperationError: The weight depends on the input.
        """
        tracer = self.tracer
        if tracer.signal(weight) is not None:
            raise self.unknown("has a weight that depends on the input")
        tracer.check_untransformed(weight)
        name, first_row = tracer.part_of(weight)
        signal = self.signal(input)
        reads = tuple(
            (number, None if axes is None else axes[geometry.axis]) for number, axes in signal.sources.items()
        )
        shape = geometry.output_shape(signal.shape)
        site = Site(name, weight, first_row, geometry, geometry.positions(signal.shape), reads)
        tracer.sites.append(site)
        tracer.fingerprint.add(name or digest(weight.detach() != 0), geometry)
        if signal.shape[geometry.axis] != geometry.inputs or min(shape) < 1:  # torch's to refuse
            geometry.spread(*(torch.empty(size, device="meta") for size in (signal.shape, geometry.shape)))
        if tracer.resolution == "outline":
            made, exponent, edges = signal.counts.new_ones([1] * len(shape)), 0, None
        else:
            counts = signal.unfolded(geometry.axis)
            here = geometry.folded(self.folded(signal))
            given = tracer.weigh(site, counts, lambda edges: here.spread(counts, edges))
            if isinstance(given, Made):
                made, exponent = self.settle(given.counts, signal.exponent)
                edges = None
            else:
                edges = given
                made, exponent = self.settle(through(counts, edges, here, site, tracer.note), signal.exponent)
        offsets = None
        if bias is not None and tracer.steers:
            offsets = made.new_ones([1] * made.ndim)
        elif signal.offsets is not None:
            offsets = _where_any(self._offsets_after(signal, signal.offsets, site, edges, made))
        role = Role.VALUE
        if signal.role is Role.ATTENTION:
            role, exponent = Role.ATTENTION, 0
            made = self._mixed_heads(signal, geometry, made, biased=bias is not None)
        step = tracer.graph.add((signal.step,), name)
        sources = {} if name is not None else signal.sources
        return tracer.carry(Signal(made, shape, exponent, step, sources, role, offsets))

    def _offsets_after(self, signal: Signal, offsets: Tensor, site: Site, edges: Tensor | None, made: Tensor) -> Tensor:
        """Where a layer without bias makes something of constants alone."""
        if edges is None or not self.tracer.steers:
            return made.new_ones([1] * made.ndim)
        here = site.geometry.folded(self.folded(signal))
        if offsets.numel() > 1 or here.transposed:
            arriving = offsets.expand_as(signal.counts).expand_as(signal.unfolded(here.axis))
            return (here.spread(arriving, edges) > 0).to(made)
        some = edges.any(1, keepdim=True)  # all inputs are alike, so one stands for them
        alone = replace(here, shape=(here.outputs, 1, *here.shape[2:]), groups=1)
        return (alone.spread(signal.counts.narrow(here.axis, 0, 1).detach() * 0 + 1, some) > 0).to(made)

    def _mixed_heads(self, scores: Signal, geometry: Geometry, made: Tensor, *, biased: bool) -> Tensor:
        """The pattern of attention after a layer over its heads.

        Scores of zero are read as others are; weights of zero, after softmax, are not, but for a bias.
        """
        if scores.silent and not biased:
            return made if self.semantics.boolean else as_numbers(made.detach() > 0, made.dtype)
        if scores.silent or self.tracer.resolution == "outline":
            pattern = torch.ones_like(made)
        else:
            heads = scores.unfolded(geometry.axis).detach()
            pattern = (geometry.folded(self.folded(scores)).spread(heads, None) > 0).to(made.dtype)
        if self.semantics.boolean and made.requires_grad:
            return attached(pattern, made, self.tracer.switch)
        return pattern

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

    def _sources(self, shape: torch.Size) -> dict[int, Axes]:
        """Where a mixture of the inputs comes from; axes stay what they are if all agree and no axis is lost."""
        found: dict[int, Axes] = {}
        if any(not signal.sources for signal in self.inputs):
            return found
        for signal in self.inputs:
            for number, axes in signal.sources.items():
                same = axes is not None and len(axes) == len(shape)
                agreed = axes if same and found.get(number, axes) == axes else None
                found[number] = agreed
        return found

    def _permuted(self, axes: Axes, shape: torch.Size, args: Any, kwargs: Any) -> Axes:
        """Axes in the order that the function brings them to, told from a tensor whose sizes are the axes' numbers."""
        if axes is None:
            return None
        numbered = torch.empty([number + 2 for number in range(len(shape))], device="meta")
        moved = self.function(*self._with(args, numbered), **self._with(kwargs, numbered))
        return tuple(axes[size - 2] for size in moved.shape)

    def _with(self, value: Any, counts: Tensor) -> Any:
        """`value` with `counts` in place of every tensor that carries paths."""
        return replace_tensors(value, lambda tensor: counts if self.tracks(tensor) else tensor)


def _where_any(offsets: Tensor) -> Tensor | None:
    """None stands for zeros; ones of one element for ones everywhere."""
    return offsets if bool(offsets.any()) else None


def _cut(axes: Axes, before: torch.Size, after: torch.Size) -> Axes:
    """Axes after a slice, or a reshape that changes nothing or adds a batch axis; None once merged, split or lost."""
    if axes is not None and after == (1, *before):
        return -1, *axes
    if axes is not None and before == (1, *after):
        return axes[1:]
    same = axes is not None and len(before) == len(after) and before[:1] == after[:1]
    # a slice shortens one axis and leaves the others; a reshape that keeps the number of axes changes two at least
    shorter = sum(a != b for a, b in zip(before, after, strict=False))
    return axes if same and shorter <= 1 and after.numel() <= before.numel() else None


def broadcast(*shapes: Sequence[int]) -> torch.Size:
    """The shape that several broadcast to."""
    first = max(shapes, key=len)
    if all(shape == first or not shape for shape in shapes):  # far faster than torch's own answer
        return torch.Size(first)
    made: torch.Size = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    return made
