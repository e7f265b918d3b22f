"""Networks unrolled into single units, by means that know nothing of nodepath's engine.

A `Program` is a real module that runs a list of steps. `unroll` finds which unit feeds which by pushing one-hot
inputs through the very same steps (a layer's weights being their own serial numbers, so that the output says which
weight made the connection), and counts paths with Python's integers on a networkx graph of units.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import networkx as nx
import torch
from torch import Tensor, nn
from torch.func import functional_call


@dataclass
class Step:
    inputs: tuple[int, ...]
    run: Callable[..., Tensor] | None = None
    layer: str | None = None
    takes_maximum: bool = False
    writes_first: bool = False  # in place: whoever reads the first input later reads the result


class Program(nn.Module):
    """Value 0 is the input; each step makes one value; the outputs are those listed."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        self.norms = nn.ModuleList()
        self.steps: list[Step] = []
        self.outputs: tuple[int, ...] = (0,)
        self.shapes: list[tuple[int, ...]] = [shape]
        self.shortcuts: set[str] = set()
        self.names = (f"layer{i}" for i in itertools.count())
        self.input_channels: Callable[[int], int] = lambda unit: unit // math.prod(shape[1:])

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        values = [x]
        for step in self.steps:
            values.append(self.act(step, *(values[i] for i in step.inputs)))
        made = tuple(values[i] for i in self.outputs)
        return made[0] if len(made) == 1 else made

    def act(self, step: Step, *inputs: Tensor) -> Tensor:
        if step.layer is not None:
            return self.layers[step.layer](*inputs)
        assert step.run is not None
        return step.run(*inputs)

    # building

    def add_step(self, step: Step) -> int:
        self.steps.append(step)
        with torch.no_grad():
            made = self.eval().act(step, *(torch.zeros(1, *self.shapes[i]) for i in step.inputs))
        self.shapes.append(tuple(made.shape[1:]))
        self.outputs = (len(self.steps),)
        return len(self.steps)

    def layer(self, at: int, module: nn.Module) -> tuple[int, str]:
        name = next(self.names)
        self.layers[name] = module
        return self.again(at, name), name

    def again(self, at: int, name: str) -> int:
        return self.add_step(Step((at,), layer=name))

    def norm(self, at: int, module: nn.Module) -> int:
        self.norms.append(module)
        return self.function(at, module)

    def function(self, at: int, run: Callable[[Tensor], Tensor], *, takes_maximum: bool = False) -> int:
        return self.add_step(Step((at,), run, takes_maximum=takes_maximum))

    def join(self, *at: int, run: Callable[..., Tensor], in_place: bool = False) -> int:
        return self.add_step(Step(at, run, writes_first=in_place))


@dataclass
class Link:
    """A connection of two units."""

    start: int
    end: int
    weight: tuple[str, int] | None  # parameter name, position in the flat weight
    end_channel: int | None = None
    start_channel: int | None = None


@dataclass
class Unrolled:
    """All units and links of a masked network."""

    program: Program
    stages: list[list[Link]] = field(default_factory=list)
    maxima: list[bool] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    @cached_property
    def forward(self) -> Counter[int]:
        return self._counts(paper=False)

    def _counts(self, *, paper: bool) -> Counter[int]:
        count = Counter(dict.fromkeys(self.inputs, 1))
        for stage, takes_maximum in zip(self.stages, self.maxima, strict=True):
            for link in stage:
                if paper and takes_maximum:
                    count[link.end] = max(count[link.end], count[link.start])
                else:
                    count[link.end] += count[link.start]
        return count

    @cached_property
    def backward(self) -> Counter[int]:
        count = Counter(self.outputs)
        for stage in reversed(self.stages):
            for link in stage:
                count[link.start] += count[link.end]
        return count

    def paths(self, *, paper: bool = False) -> int:
        count = self._counts(paper=paper)
        return sum(count[unit] for unit in self.outputs)

    @cached_property
    def _reached(self) -> tuple[set[object], set[object]]:
        graph = nx.DiGraph()
        graph.add_edges_from((link.start, link.end) for stage in self.stages for link in stage)
        graph.add_edges_from(("from", unit) for unit in self.inputs)
        graph.add_edges_from((unit, "to") for unit in self.outputs)
        return nx.descendants(graph, "from"), nx.ancestors(graph, "to")

    @cached_property
    def live(self) -> list[Link]:
        """Links of weights on a path."""
        after, before = self._reached
        return [
            link
            for stage in self.stages
            for link in stage
            if link.weight is not None and link.start in after and link.end in before
        ]

    @property
    def effective(self) -> set[tuple[str, int]]:
        return {link.weight for link in self.live if link.weight is not None}

    def nodes(self, convention: str) -> dict[tuple[str, str], dict[int, int]]:
        """(layer, side) -> channel -> number of paths through it; only channels on a path."""
        groups: dict[tuple[str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        if convention == "exact":
            before = self._reached[1]
            for position, unit in enumerate(self.inputs):
                if unit in before:
                    groups["input", "out"][self.program.input_channels(position)] += self.backward[unit]
        for link in self.live:
            assert link.weight is not None
            assert link.start_channel is not None
            assert link.end_channel is not None
            name = link.weight[0]
            linear = isinstance(self.program.get_submodule(name.removesuffix(".weight")), nn.Linear)
            through = self.forward[link.start] * self.backward[link.end]
            if convention == "paper" and name not in self.program.shortcuts:
                groups[name, "in"][link.start_channel] += through
            if convention == "exact" or (linear and name not in self.program.shortcuts):
                groups[name, "out"][link.end_channel] += through
        return groups

    def effective_widths(self, convention: str) -> list[float]:
        return [perplexity(group) for group in self.nodes(convention).values()]


def perplexity(counts: dict[int, int]) -> float:
    total = sum(counts.values())
    return math.exp(-sum(n / total * math.log(n / total) for n in counts.values()))


def unroll(program: Program, masks: dict[str, Tensor]) -> Unrolled:
    """Every unit and link; `masks`: parameter name -> bool."""
    found = Unrolled(program)
    names = {id(parameter): name for name, parameter in program.named_parameters()}
    fresh = itertools.count()
    values = [_number(program.shapes[0], fresh)]
    found.inputs = values[0].flatten().tolist()
    for step, shape in zip(program.steps, program.shapes[1:], strict=True):
        ends = _number(shape, fresh)
        if len(step.inputs) > 1:
            stage = _merged(step, [values[i] for i in step.inputs], ends)
        else:
            stage = _connections(program, step, values[step.inputs[0]], ends, names, masks)
        found.stages.append(stage)
        found.maxima.append(step.takes_maximum)
        if step.writes_first:
            values[step.inputs[0]] = ends
        values.append(ends)
    found.outputs = [unit for i in program.outputs for unit in values[i].flatten().tolist()]
    return found


def _number(shape: tuple[int, ...], fresh: "itertools.count[int]") -> Tensor:
    return torch.tensor([next(fresh) for _ in range(math.prod(shape))]).reshape(shape)


def _merged(step: Step, starts: list[Tensor], ends: Tensor) -> list[Link]:
    """Several inputs: their units are either summed element by element or laid side by side."""
    assert step.run is not None
    links = []
    for which, units in enumerate(starts):
        probe = [torch.zeros(1, *other.shape, dtype=torch.float64) for other in starts]
        probe[which] = (units + 1).double().unsqueeze(0)  # serial numbers; 0 says "not from here"
        made = step.run(*probe)[0].long()
        for end, start in zip(ends.flatten().tolist(), made.flatten().tolist(), strict=True):
            if start:
                links.append(Link(start - 1, end, None))
    return links


def _connections(
    program: Program, step: Step, starts: Tensor, ends: Tensor, names: dict[int, str], masks: dict[str, Tensor]
) -> list[Link]:
    one_hot = torch.eye(starts.numel(), dtype=torch.float64).reshape(-1, *starts.shape)
    if step.layer is None:
        assert step.run is not None
        with torch.no_grad():
            made = [step.run(x.clone()).flatten(1) for x in (one_hot.float(), torch.zeros_like(one_hot).float())]
        code = (made[0] - made[1] != 0).long()  # the difference takes away what biases add
        name = None
    else:
        layer = program.layers[step.layer]
        name = names[id(layer.weight)]
        serial = torch.arange(1, layer.weight.numel() + 1, dtype=torch.float64).reshape(layer.weight.shape)
        inside = {"weight": serial}
        if layer.bias is not None:
            inside["bias"] = torch.zeros(layer.bias.shape, dtype=torch.float64)
        code = functional_call(layer, inside, (one_hot,)).flatten(1).round().long()
    start_ids, end_ids = starts.flatten().tolist(), ends.flatten().tolist()
    kept = masks[name].flatten().tolist() if name in masks else None
    linear = step.layer is not None and isinstance(program.layers[step.layer], nn.Linear)
    links = []
    for i, j in code.nonzero().tolist():
        if name is None:
            links.append(Link(start_ids[i], end_ids[j], None))
            continue
        weight = int(code[i, j]) - 1
        if kept is None or kept[weight]:
            links.append(
                Link(start_ids[i], end_ids[j], (name, weight), _channel(ends, j, linear), _channel(starts, i, linear))
            )
    return links


def _channel(units: Tensor, position: int, linear: bool) -> int:
    """Which channel a unit belongs to: the last axis for a Linear, the first for a convolution."""
    return position % units.shape[-1] if linear else position // math.prod(units.shape[1:])
