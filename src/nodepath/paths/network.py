"""A model and the shape of its input, read as a graph."""

import copy
import math
import sys
from collections.abc import Hashable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nodepath.errors import (
    ArgumentError,
    InputMismatchError,
    NodepathError,
    NoPathError,
    UnknownOperationError,
)
from nodepath.masks import unwrap
from nodepath.paths.conversion import scratch
from nodepath.paths.example import Example, ExampleInput
from nodepath.paths.guard import Repeat, evaluating
from nodepath.paths.layer import Layer
from nodepath.paths.nested import replace_tensors, tensors_in
from nodepath.paths.reading import Reading
from nodepath.paths.semantics import EXACT, REACH, Semantics
from nodepath.paths.signal import Role
from nodepath.paths.site import Note, Weigh, dense
from nodepath.paths.surroundings import callers_device
from nodepath.paths.tracer import Grain, PathTracer, SteeringError
from nodepath.paths.where import running_module

__all__ = ["Arrival", "Network", "Resolution"]

Resolution = Literal["pixel", "channel"]

_DENSE: MutableMapping[nn.Module, dict[tuple[Hashable, Semantics, str], float]] = WeakKeyDictionary()
"""log2 of dense path counts; a model that takes other steps has another fingerprint."""


_TRIED_ROWS = 8
"""Rows of an example input among which paths are looked for."""


@dataclass(frozen=True)
class Arrival:
    """What arrives at the outputs of a network.

    Attributes:
        counts: Mantissa of the sum over all outputs, a scalar that can be differentiated.
        exponent: The sum is `counts * 2**exponent`.
        sources: The inputs, ones, that require grad; of axes of length 1 where folded.
        outputs: Mantissas of each output.
        tracer: Of the forward pass: its graph and sites.
    """

    counts: Tensor
    exponent: int
    sources: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    tracer: PathTracer

    def slopes(self, *, again: bool = False) -> tuple[Tensor, ...]:
        """Derivatives of the sum of the outputs in each input; zeros where nothing depends.

        Each layer's note is asked on the way.

        Args:
            again: They will be asked for once more.
        """
        if not self.counts.requires_grad:
            return tuple(map(torch.zeros_like, self.sources))
        found = torch.autograd.grad(self.counts, self.sources, allow_unused=True, retain_graph=again)
        pairs = zip(self.sources, found, strict=True)
        return tuple(torch.zeros_like(source) if slope is None else slope for source, slope in pairs)


class Network:
    """A model with the layers that its eval-mode forward pass uses.

    Args:
        model: Any module; never changed. Wrappers (`DataParallel`, `torch.compile`) are looked through.
        x: Example input: a tensor, a tuple, or a dict of keyword arguments. Only shapes count, and what tensors of
            whole numbers hold. Where the rows of the first axis turn out to be samples, of which none reaches the
            outputs of another, one is used; else (tokens first, no batch axis) all.
        resolution: "pixel": each element of an activation counts paths of its own. "channel": each channel does;
            other axes are folded, and the cells of a kernel are parallel edges.
        read: Read the graph at once, in a walk of its own; else `send_plainly` may do so on its way, and whatever asks.

    Attributes:
        parameters: The model's own, by name.

    Raises:
        NothingPrunableError: The forward pass uses no Linear or convolution weight.
        InputMismatchError: The model does not run on the example input.
        NoPathError: No output depends on the input.
        ArgumentError: The example input is none, or the resolution is unknown.
        UnknownOperationError: An operation whose effect on paths nobody has declared.
    """

    def __init__(self, model: nn.Module, x: ExampleInput, resolution: str = "pixel", *, read: bool = True) -> None:
        if not isinstance(model, nn.Module):
            raise ArgumentError(f"model is a {type(model).__name__}; pass a torch.nn.Module")
        self.resolution = resolution_named(resolution)
        self.model = _usable(unwrap(model))
        self.parameters = parameters = dict(self.model.named_parameters())
        for name, parameter in parameters.items():
            if is_lazy(parameter):
                raise InputMismatchError(f"parameter '{name}' has no shape yet; run the model once on an example input")
        self.device = next(iter(parameters.values()), torch.zeros(())).device
        self.example = Example.of(replace_tensors(x, lambda t: t.clone() if t.is_inference() else t)).to(self.device)
        embedded = {id(m.weight) for m in self.model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)}
        self._names = {id(p): name for name, p in parameters.items() if id(p) not in embedded}
        self._embedded = {id(p): name for name, p in parameters.items() if id(p) in embedded}
        self._reading: Reading | None = None
        self._repeat: Repeat | None = None  # while the model is at rest
        if self.example.rows > 1:
            with torch.no_grad():
                if self._rows_are_samples():
                    self.example = self.example.first(1)
        if read:
            self.read()

    @property
    def is_read(self) -> bool:
        """Whether the graph is known."""
        return self._reading is not None

    def read(self) -> Reading:
        """The model as a graph, read in a walk through its outline if no other walk did."""
        if self._reading is None:
            with torch.no_grad():
                walk = self.send(REACH, dense, resolution="outline").tracer
            self._reading = Reading(self.model, self.parameters, walk, self._embedded)
        return self._reading

    @property
    def layers(self) -> dict[str, Layer]:
        """Parameter name -> layer, in the order of first use."""
        return self.read().layers

    @property
    def steers(self) -> bool:
        """Whether products of activations steer paths in it."""
        return self.read().steers

    @property
    def takes_maxima(self) -> bool:
        """Whether it takes maxima over windows."""
        return self.read().takes_maxima

    @property
    def tied(self) -> frozenset[str]:
        """Linear weights that an embedding owns; they are not prunable."""
        return self.read().tied

    @property
    def unused(self) -> tuple[str, ...]:
        """Weights of Linear and convolution layers that the forward pass never uses, or on constants alone."""
        return self.read().unused

    @property
    def input_axes(self) -> tuple[int | None, ...]:
        """Of each input, the axis whose entries are its channels; None: each unit is one."""
        return self.read().input_axes

    def dense_log2_paths(self, semantics: Semantics = EXACT) -> float:
        """Log2 of the number of paths with all weights; -inf for none.

        Cost: one forward pass in float64, in which one channel stands for all of a layer; none if a network of the
        same model whose forward pass takes the same steps was asked before.
        """
        known = _DENSE.setdefault(self.model, {})
        key = (self.read().fingerprint.key, semantics, self.resolution)
        if key not in known:
            with torch.no_grad():
                known[key] = log2(self.send(semantics, dense))
        return known[key]

    @cached_property
    def prunable(self) -> int:
        """Number of prunable weights."""
        return sum(layer.size for layer in self.layers.values())

    def weights(self) -> dict[str, Tensor]:
        """The prunable parameters themselves, detached."""
        return {name: self.parameters[name].detach() for name in self.layers}

    def send(
        self,
        semantics: Semantics,
        weigh: Weigh,
        note: Note | None = None,
        resolution: Grain | None = None,
        example: Example | None = None,
        row: int | None = None,
        plainly: bool = False,
    ) -> Arrival:
        """One forward pass of path counts.

        Args:
            semantics: What is sent.
            weigh: Gives the edges of each layer as the signal reaches it.
            note: Takes down what passes the layers, when the slopes come back.
            resolution: Another than the network's.
            example: Another than the network's.
            row: Paths begin in this row of each input alone; None: in all.
            plainly: See `send_plainly`.
        """
        resolution = resolution or self.resolution
        unread = self._reading is None
        given = example or self.example
        sources = given.sources()
        dtype = sources[0].dtype if sources else torch.get_default_dtype()
        channels = self.input_axes if resolution == "channel" and not unread else None
        with self.at_rest() as repeat, repeat():
            tracer = PathTracer(
                self.model,
                semantics,
                self._names,
                weigh,
                dtype,
                resolution=resolution,
                channels=channels,
                note=note,
                row=row,
                steers=not plainly if unread else self.steers,
                reads=unread,
            )
            swap = {id(x): tracer.source(x.shape, self.device) for x in sources}
            swap |= {id(x): tracer.index(x) for x in given.indices()}
            call = given.replace(swap)
            with explaining(self.model), tracer, callers_device():
                outputs = self.model(*call.args, **call.kwargs)
            signals = [signal for signal in map(tracer.signal, tensors_in(outputs)) if signal is not None]
            carrying = [signal for signal in signals if signal.role is not Role.ATTENTION]
            if signals and not carrying:
                raise UnknownOperationError(
                    f"the output of {type(self.model).__name__} is a product of two activations, and nothing tells "
                    "which of them carries the paths; mark the other with nodepath.paths.control (see docs/paths.md)"
                )
            if not signals:
                raise NoPathError(
                    f"no output of {type(self.model).__name__} depends on the example input; its forward pass must "
                    "return tensors that do, plain or in lists, tuples, dicts or dataclasses"
                )
            if any(map(tracer.unreadable, carrying)):
                raise UnknownOperationError(
                    f"the output of {type(self.model).__name__} lies in memory that was written in place through a "
                    "view; return what was written, or write out of place"
                )
            exponent = max(signal.exponent for signal in carrying)
            total = torch.zeros((), dtype=semantics.dtype(self.device), device=self.device)
            for signal in carrying:
                total = total + signal.counts.sum() * 2.0 ** max(signal.exponent - exponent, -1100)
        return Arrival(total, exponent, tuple(tracer.sources), tuple(s.counts for s in carrying), tracer)

    def send_plainly(self, semantics: Semantics, weigh: Weigh, note: Note | None = None) -> Arrival | None:
        """As `send`, through a network in which nothing steers; None if something does.

        A network that is not read yet is so on the way, and None if its channels lie on another axis than is usual.
        """
        if self._reading is not None:
            return None if self.steers else self.send(semantics, weigh, note)
        try:
            arrival = self.send(semantics, weigh, note, plainly=True)
        except SteeringError:
            return None
        if arrival.tracer.switch.used:
            return None
        self._reading = Reading(self.model, self.parameters, arrival.tracer, self._embedded)
        return arrival if self.resolution == "pixel" or self._reading.usual else None

    @contextmanager
    def at_rest(self) -> Iterator[Repeat]:
        """Keep the model in eval mode for several passes; a pass by itself does so as well."""
        if self._repeat is not None:
            yield self._repeat
            return
        with evaluating(self.model) as repeat, scratch():
            self._repeat = repeat
            try:
                yield repeat
            finally:
                self._repeat = None

    def _rows_are_samples(self) -> bool:
        """Whether paths that begin in one row end in that row of every output, and nowhere else.

        Looked at on the first rows of the example, for the first and the last of them.
        """
        number = min(self.example.rows, _TRIED_ROWS)
        some = self.example.first(number)
        try:
            self.send(REACH, dense, resolution="outline", example=self.example.first(1))
            ends = [
                (row, self.send(REACH, dense, resolution="pixel", example=some, row=row).outputs)
                for row in (0, number - 1)
            ]
        except NodepathError:  # what does not run on fewer rows has no samples there; what never runs says so next
            return False
        return not any(
            counts.ndim == 0 or len(counts) != number or bool(counts[:row].any()) or bool(counts[row + 1 :].any())
            for row, outputs in ends
            for counts in outputs
        )


def resolution_named(name: str) -> Resolution:
    """Check a resolution's name.

    Raises:
        ArgumentError: Neither "pixel" nor "channel".
    """
    if name not in get_args(Resolution):
        raise ArgumentError(f"resolution is '{name}'; choose 'pixel' or 'channel'")
    return name  # type: ignore[return-value]


def log2(arrival: Arrival) -> float:
    """Log2 of a count; -inf for zero."""
    counts = arrival.counts.item()
    return math.log2(counts) + arrival.exponent if counts > 0 else -math.inf


@contextmanager
def explaining(model: nn.Module) -> Iterator[None]:
    """Turn the model's own error into one that says which layer refused the example input."""
    try:
        yield
    except (NodepathError, SteeringError):
        raise
    except Exception as error:
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_next is not None:
            traceback = traceback.tb_next
        where = running_module(model, traceback.tb_frame if traceback else sys._getframe())
        line = " ".join(str(error).split())
        raise InputMismatchError(
            f"the model does not run on the example input: {where} raised {type(error).__name__}: {line}; "
            "pass an input of the shape that the model takes, batch first"
        ) from error


def _usable(model: nn.Module) -> nn.Module:
    """The model, or a copy of it if inference mode made its tensors: those take no part in slopes."""
    tensors = (*model.parameters(), *model.buffers())
    made = any(not is_lazy(tensor) and tensor.is_inference() for tensor in tensors)  # a lazy one cannot be asked
    return copy.deepcopy(model) if made else model
