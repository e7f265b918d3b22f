"""Networks as graphs of channels, by means that know nothing of nodepath's engine.

A `Program` becomes a networkx multigraph: all pixels of a channel are one vertex, a kernel with m kept cells is m
parallel edges, and whatever has no weights hands each vertex on. Paths are counted with Python's integers.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import networkx as nx
import torch
from linking import Apply, Function, Merge
from program import Program, Step
from torch import Tensor, nn
from unrolled import perplexity


@dataclass(frozen=True)
class Edge:
    """A kept weight between two vertices.

    Attributes:
        start, end: The vertices.
        weight: Parameter name and position in the flat parameter.
        linear: Of a Linear, whose inputs and outputs are units; else of a convolution.
        start_channel: Of the layer: for a Linear the feature, also if features of one channel are one vertex.
        end_channel: Of the layer.
    """

    start: int
    end: int
    weight: tuple[str, int]
    linear: bool
    start_channel: int
    end_channel: int


@dataclass
class ChannelGraph:
    """All channels of a masked network, and all kept weights between them.

    Attributes:
        program: The network.
        graph: Vertices in the order in which they are made.
        inputs: Vertex -> input's number and channel of it.
        outputs: Vertices.
        edges: Those that have a weight.
    """

    program: Program
    graph: nx.MultiDiGraph = field(default_factory=nx.MultiDiGraph)
    inputs: dict[int, tuple[int, int]] = field(default_factory=dict)
    outputs: list[int] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    @cached_property
    def forward(self) -> Counter[int]:
        count = Counter(self.inputs.keys())
        for vertex in nx.topological_sort(self.graph):
            for _, end, _ in self.graph.out_edges(vertex, keys=True):
                count[end] += count[vertex]
        return count

    @cached_property
    def backward(self) -> Counter[int]:
        count = Counter(self.outputs)
        for vertex in reversed(list(nx.topological_sort(self.graph))):
            for start, _, _ in self.graph.in_edges(vertex, keys=True):
                count[start] += count[vertex]
        return count

    @property
    def paths(self) -> int:
        return sum(self.forward[vertex] for vertex in self.outputs)

    def through(self, edge: Edge) -> int:
        return self.forward[edge.start] * self.backward[edge.end]

    @property
    def effective(self) -> set[tuple[str, int]]:
        return {edge.weight for edge in self.edges if self.through(edge)}

    def nodes(self, convention: str) -> dict[tuple[object, str], dict[int, int]]:
        """(layer, side) -> channel -> number of paths through it; only effective channels."""
        groups: dict[tuple[object, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        if convention == "exact":
            for vertex, (which, channel) in self.inputs.items():
                if self.backward[vertex]:
                    groups[which, "out"][channel] += self.backward[vertex]
        for edge in self.edges:
            name = edge.weight[0]
            if not self.through(edge) or (convention == "paper" and name in self.program.shortcuts):
                continue
            if convention == "paper":
                groups[name, "in"][edge.start_channel] += self.through(edge)
            if convention == "exact" or edge.linear:
                groups[name, "out"][edge.end_channel] += self.through(edge)
        return groups

    def effective_widths(self, convention: str) -> list[float]:
        return [perplexity(group.values()) for group in self.nodes(convention).values()]

    def new_vertices(self, shape: tuple[int, ...]) -> Tensor:
        first = len(self.graph)
        self.graph.add_nodes_from(range(first, first + math.prod(shape)))
        return torch.arange(first, first + math.prod(shape)).reshape(shape)


def channel_graph(program: Program, masks: dict[str, Tensor]) -> ChannelGraph:
    """The graph of channels; `masks`: parameter name -> bool.

    Raises:
        AssertionError: The program has a step whose effect on channels is not written down here.
    """
    found = ChannelGraph(program)
    names = {id(parameter): name for name, parameter in program.named_parameters()}
    values = [_entrance(found, which, shape) for which, shape in enumerate(program.shapes[: program.entrances])]
    for step, shape in zip(program.steps, program.shapes[program.entrances :], strict=True):
        read = [values[i] for i in step.inputs]
        if isinstance(step.kind, Apply):
            name = names[id(step.kind.owner)]
            made = _applied(found, step.kind, read[0], shape, name, masks.get(name))
        else:
            assert isinstance(step.kind, Function | Merge), step.kind
            made = _handed_on(found, step, read, shape)
        if step.writes_first:
            values[step.inputs[0]] = made
        values.append(made)
    found.outputs = [vertex for i in program.outputs for vertex in values[i].unique().tolist()]
    return found


def _entrance(found: ChannelGraph, which: int, shape: tuple[int, ...]) -> Tensor:
    """The vertex of each unit of an input."""
    channels = [found.program.input_channel(which, unit) for unit in range(math.prod(shape))]
    vertices = found.new_vertices((max(channels) + 1,))
    found.inputs.update({vertex: (which, channel) for channel, vertex in enumerate(vertices.tolist())})
    return vertices[torch.tensor(channels)].reshape(shape)


def _applied(
    found: ChannelGraph, kind: Apply, read: Tensor, shape: tuple[int, ...], name: str, mask: Tensor | None
) -> Tensor:
    """A layer: a vertex for each output channel; for a Linear at each place that is a vertex of its own."""
    weight, linear = kind.layer.weight, isinstance(kind.layer, nn.Linear)
    if linear:
        places = _once_along_what_is_one(read)
        made = found.new_vertices((*places.shape[:-1], weight.shape[0]))
        starts, ends = (units.reshape(-1, units.shape[-1]).tolist() for units in (places, made))
    else:
        assert all(bool((channel == channel.flatten()[0]).all()) for channel in read), "a convolution over channels"
        made = found.new_vertices((shape[0], *(1 for _ in shape[1:])))
        starts, ends = [[int(channel.flatten()[0]) for channel in read]], [made.flatten().tolist()]
    kept = [True] * weight.numel() if mask is None else mask.flatten().tolist()
    for number, ((i, o), is_kept) in enumerate(zip(_connected(kind.layer), kept, strict=True)):
        for start, end in zip(starts, ends, strict=True) if is_kept else ():
            edge = Edge(start[i], end[o], (name, number), linear, i, o)
            found.edges.append(edge)
            found.graph.add_edge(edge.start, edge.end, key=edge.weight)
    return made.expand(shape)


def _connected(layer: nn.Module) -> Iterator[tuple[int, int]]:
    """Input and output channel of each weight, in the order of the flat parameter."""
    shape = layer.weight.shape
    groups, transposed = getattr(layer, "groups", 1), getattr(layer, "transposed", False)
    outputs_of_group = (shape[1] * groups if transposed else shape[0]) // groups
    inputs_of_group = (shape[0] if transposed else shape[1] * groups) // groups
    for first, second, *_ in itertools.product(*map(range, shape)):
        if transposed:
            yield first, first // inputs_of_group * outputs_of_group + second
        else:
            yield first // outputs_of_group * inputs_of_group + second, first


def _handed_on(found: ChannelGraph, step: Step, read: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Pools, slices, joins: which vertices each unit reads is tried out; what reads the same all along an axis is one.

    A unit that reads nothing is padding.
    """
    fresh = itertools.count()
    starts = [torch.tensor([next(fresh) for _ in range(v.numel())]).reshape(v.shape) for v in read]
    vertex = dict(zip(itertools.chain(*(s.flatten().tolist() for s in starts)), _flat(read), strict=True))
    sources: list[frozenset[int]] = [frozenset()] * math.prod(shape)
    for link in step.kind.links(starts, torch.arange(math.prod(shape)).reshape(shape), {}):
        sources[link.end] |= {vertex[link.start]}
    numbers = {each: number for number, each in enumerate(dict.fromkeys(sources), start=1) if each}
    reads = torch.tensor([numbers.get(each, 0) for each in sources]).reshape(shape)
    for axis in range(len(shape)):
        largest = reads.amax(axis, keepdim=True)
        if bool(((reads == largest) | (reads == 0)).all()):
            reads = largest
    made = found.new_vertices(tuple(reads.shape))
    of_number = {number: each for each, number in numbers.items()}
    for end, number in zip(made.flatten().tolist(), reads.flatten().tolist(), strict=True):
        found.graph.add_edges_from((start, end) for start in of_number.get(number, ()))
    return made.expand(shape)


def _once_along_what_is_one(units: Tensor) -> Tensor:
    """With length 1 of each axis but the last along which all vertices are the same."""
    for axis in range(units.ndim - 1):
        first = units.narrow(axis, 0, 1)
        units = first if bool((units == first).all()) else units
    return units


def _flat(values: list[Tensor]) -> Iterator[int]:
    return itertools.chain(*(value.flatten().tolist() for value in values))
