"""Take down the torch operators of one walk, so that the next ones need neither the model nor its functions."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nodepath.paths.geometry import Geometry
from nodepath.paths.nested import replace_tensors, tensors_in
from nodepath.paths.network import Network
from nodepath.paths.semantics import Semantics
from nodepath.paths.site import Made, Site, given

__all__ = ["Applied", "Ran", "Recording", "Value", "record"]

_ATEN = torch.ops.aten
_SHAPE_ALONE = {
    _ATEN.empty_like.default,
    _ATEN.full_like.default,
    _ATEN.new_empty.default,
    _ATEN.new_full.default,
    _ATEN.new_ones.default,
    _ATEN.new_zeros.default,
    _ATEN.ones_like.default,
    _ATEN.zeros_like.default,
}
"""What they make is no counts, whatever they are asked about."""

_BY_MEMORY = {_ATEN.as_strided.default}
"""Operators that read memory as it lies, which it does otherwise when they are run again."""

_OF_SEVERAL = {_ATEN.add.Tensor, _ATEN.cat.default, _ATEN.stack.default}
"""Operators on several counts that are scaled as each of them is."""


@dataclass(frozen=True)
class Value:
    """Stands for counts: which of the values of a recording."""

    number: int


@dataclass(frozen=True)
class Applied:
    """A layer.

    Attributes:
        site: Where.
        geometry: The site's, on the axes that counts have.
        reads: What arrives.
        makes: What leaves.
    """

    site: Site
    geometry: Geometry
    reads: Value
    makes: Value


@dataclass(frozen=True)
class Ran:
    """An operator between layers.

    Attributes:
        operator: Of torch.
        args, kwargs: With a `Value` in place of counts.
        makes: Of each result, which value it is; None where it is no counts.
    """

    operator: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    makes: tuple[Value | None, ...]

    @property
    def reads(self) -> tuple[Value, ...]:
        """The values among its arguments."""
        return tuple(values_in((self.args, self.kwargs)))


@dataclass(frozen=True)
class Recording:
    """What a walk does to counts.

    Attributes:
        shapes: Of each value, with axes of length 1 where folded.
        sources: Which of them are inputs of the network, ones.
        outputs: Which leave it.
        steps: In order.
    """

    shapes: tuple[torch.Size, ...]
    sources: tuple[Value, ...]
    outputs: tuple[Value, ...]
    steps: tuple[Applied | Ran, ...]


@dataclass(frozen=True)
class _Unsettled(Semantics):
    """Without exponents: no operator depends on the counts.

    Attributes:
        passed: What each control has let pass, in order.
    """

    passed: list[Tensor | None] = field(default_factory=list, compare=False)

    def dtype(self, device: torch.device) -> torch.dtype:
        """Of the numbers of a recording, of which only the shapes are looked at."""
        del device
        return torch.float32

    def settle(self, counts: Tensor, exponent: int) -> tuple[Tensor, int]:
        """As they are."""
        del exponent
        return counts, 0

    def let_pass(self, factor: Tensor | None) -> None:
        """Take it down."""
        self.passed.append(factor)

    def alike(self, other: "_Unsettled") -> bool:
        """Whether controls have let the same pass."""
        pairs = list(zip_longest(self.passed, other.passed))
        return all(one is two or (one is not None and two is not None and torch.equal(one, two)) for one, two in pairs)


@dataclass
class _Seen:
    """An operator or a layer as it ran."""

    operator: Any  # for a layer, its site and geometry
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    made: Any
    versions: list[int]


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes down all operators, with the tensors that they read and make."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[_Seen] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: what is compiled runs as it was written here, and to import the compiler takes seconds."""
        return False

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run and take down."""
        del types
        kwargs = kwargs or {}
        versions = [tensor._version for tensor in tensors_in((args, kwargs))]
        made = function(*args, **kwargs)
        self.seen.append(_Seen(function, args, kwargs, made, versions))
        return made

    def layer(self, resolution: str) -> Callable[..., Made]:
        """For `Network.send`: layers make ones, whatever arrives."""

        def weigh(site: Site, counts: Tensor, spread: Any) -> Made:
            del spread
            folded = tuple(size == 1 for size in counts.shape)
            here = site.geometry.folded(folded) if resolution == "channel" else site.geometry
            made = torch.ones(here.output_shape(counts.shape), dtype=counts.dtype, device=counts.device)
            self.seen.append(_Seen((site, here), (counts,), {}, made, [counts._version]))
            return Made(made)

        return weigh


def record(network: Network, semantics: Semantics) -> Recording | None:
    """Take down what a walk does; None where it depends on the counts: on what controls let pass, or written in place.

    The more weights there are, the more a control lets pass. So where it is the same without any weight as with all (a
    sigmoid is never zero, softmax reads what no mask forbids), it is for all masks.

    Args:
        network: The network.
        semantics: What is sent, numbers.

    Cost: one forward pass without the layers, whose activations are all held; where something steers, another.
    """
    unsettled = _Unsettled(semantics.average, semantics.maximum)
    recorder = _Recorder()
    with torch.no_grad(), recorder:
        arrival = network.send(unsettled, recorder.layer(network.resolution))
    if network.steers and not unsettled.alike(_without_weights(network, unsettled)):
        return None
    return _dependent(recorder.seen, arrival.sources, arrival.outputs)


def _without_weights(network: Network, semantics: _Unsettled) -> _Unsettled:
    """What controls let pass if no layer has any weight."""
    bare = replace(semantics, passed=[])
    none = {name: torch.zeros((), dtype=torch.bool).expand(layer.shape) for name, layer in network.layers.items()}
    with torch.no_grad():
        network.send(bare, given(none))
    return bare


def _dependent(seen: list[_Seen], sources: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> Recording | None:
    """What depends on the sources."""
    numbers: dict[int, Value] = {}
    shapes: list[torch.Size] = []
    steps: list[Applied | Ran] = []

    def value(tensor: Tensor) -> Value:
        if id(tensor) not in numbers:
            numbers[id(tensor)] = Value(len(shapes))
            shapes.append(tensor.shape)
        return numbers[id(tensor)]

    def known(tensor: Tensor) -> Any:
        return numbers.get(id(tensor), tensor)

    begun = tuple(map(value, sources))
    for each in seen:
        reads = tensors_in((each.args, each.kwargs))
        number = sum(id(tensor) in numbers for tensor in reads)
        if not number or each.operator in _SHAPE_ALONE:
            continue
        # what was written later holds other numbers now
        if [tensor._version for tensor in reads] != each.versions:
            return None
        if isinstance(each.operator, tuple):
            site, geometry = each.operator
            steps.append(Applied(site, geometry, numbers[id(reads[0])], value(each.made)))
            continue
        if each.operator in _BY_MEMORY:
            return None
        made = each.made if isinstance(each.made, tuple | list) else (each.made,)
        if not all(isinstance(part, Tensor) for part in made) or each.operator._schema.is_mutable:
            return None
        if not made[0].is_floating_point() or (number > 1 and each.operator not in _OF_SEVERAL):
            return None
        makes = tuple(value(part) if part.is_floating_point() else None for part in made)
        steps.append(Ran(each.operator, replace_tensors(each.args, known), replace_tensors(each.kwargs, known), makes))
    if not all(id(output) in numbers for output in outputs):
        return None
    return Recording(tuple(shapes), begun, tuple(numbers[id(output)] for output in outputs), tuple(steps))


def values_in(arguments: Any) -> list[Value]:
    """The values in nested tuples, lists and dicts, each as often as it occurs."""
    if isinstance(arguments, Value):
        return [arguments]
    if isinstance(arguments, dict):
        arguments = list(arguments.values())
    return [found for each in arguments for found in values_in(each)] if isinstance(arguments, tuple | list) else []
