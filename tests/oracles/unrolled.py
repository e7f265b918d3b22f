"""Networks unrolled into single units, by means that know nothing of nodepath's engine.

A `Program` is a real module whose steps say which unit feeds, or steers, which. Paths are counted with Python's
integers; what lives is found on a networkx graph of units.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import networkx as nx
import torch
from linking import Link
from program import Program
from torch import Tensor


@dataclass
class Stage:
    """What one step adds: its links, units that count one whatever arrives, and units that are never zero."""

    links: list[Link]
    seeds: list[int]
    constants: list[int]
    takes_maximum: bool


@dataclass
class Unrolled:
    """All units and links of a masked network."""

    program: Program
    stages: list[Stage] = field(default_factory=list)
    inputs: list[list[int]] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    @cached_property
    def forward(self) -> Counter[int]:
        return self._counts(paper=False)

    def _counts(self, *, paper: bool) -> Counter[int]:
        count = Counter(itertools.chain(*self.inputs))
        for stage in self.stages:
            count.update(stage.seeds)
            for link in stage.links:
                if not (link.carries and self._is_open(link, count)):
                    continue
                if paper and stage.takes_maximum:
                    count[link.end] = max(count[link.end], count[link.start])
                else:
                    count[link.end] += count[link.start]
        return count

    @cached_property
    def present(self) -> set[int]:
        """Units that are not zero: inputs, constants, and all that these are carried to."""
        found = set(itertools.chain(*self.inputs))
        for stage in self.stages:
            found.update(stage.constants, stage.seeds)
            for link in stage.links:
                if link.carries and link.start in found and (link.guard is None or link.guard in found):
                    found.add(link.end)
        return found

    def _is_open(self, link: Link, count: Counter[int]) -> bool:
        return link.guard is None or bool(count[link.guard]) or (link.lenient and link.guard in self.present)

    @cached_property
    def open(self) -> list[Link]:
        """The links whose guards let pass, in order."""
        links = itertools.chain.from_iterable(stage.links for stage in self.stages)
        return [link for link in links if self._is_open(link, self.forward)]

    @cached_property
    def backward(self) -> Counter[int]:
        count = Counter(self.outputs)
        for link in reversed(self.open):
            if link.carries:
                count[link.start] += count[link.end]
        return count

    def paths(self, *, paper: bool = False) -> int:
        count = self._counts(paper=paper)
        return sum(count[unit] for unit in self.outputs)

    @cached_property
    def living(self) -> set[object]:
        """Units that an output depends on, as values or controls."""
        graph = nx.DiGraph()
        graph.add_node("to")
        graph.add_edges_from((link.start, link.end) for link in self.open)
        graph.add_edges_from((unit, "to") for unit in self.outputs)
        return nx.ancestors(graph, "to")

    @cached_property
    def live(self) -> list[Link]:
        """Links of effective weights."""
        return [
            link
            for link in self.open
            if link.weight is not None and self.forward[link.start] and link.end in self.living
        ]

    def _through(self, link: Link) -> int:
        return self.forward[link.start] * self.backward[link.end]

    @property
    def effective(self) -> set[tuple[str, int]]:
        return {link.weight for link in self.live if link.weight is not None}

    @property
    def control(self) -> set[tuple[str, int]]:
        """Effective weights that carry no path."""
        return self.effective - {link.weight for link in self.live if link.weight is not None and self._through(link)}

    def nodes(self, convention: str) -> dict[tuple[object, str], dict[int, int]]:
        """(layer, side) -> channel -> number of paths through it; only effective channels."""
        groups: dict[tuple[object, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        if convention == "exact":
            for which, units in enumerate(self.inputs):
                for position, unit in enumerate(units):
                    if unit in self.living:
                        channel = self.program.input_channel(which, position)
                        groups[which, "out"][channel] += self.backward[unit]
        for link in self.live:
            shortcut = link.layer[0] in self.program.shortcuts
            if convention == "paper" and not shortcut:
                groups[link.layer, "in"][link.start_channel] += self._through(link)
            if convention == "exact" or (link.linear and not shortcut):
                groups[link.layer, "out"][link.end_channel] += self._through(link)
        return groups

    def control_nodes(self, convention: str) -> int:
        return sum(not paths for group in self.nodes(convention).values() for paths in group.values())

    def effective_widths(self, convention: str) -> list[float]:
        """Of all groups of nodes that paths pass."""
        return [perplexity(group.values()) for group in self.nodes(convention).values() if any(group.values())]


def perplexity(counts: "Iterator[int]") -> float:
    some = [n for n in counts if n]
    total = sum(some)
    return math.exp(-sum(n / total * math.log(n / total) for n in some))


def unroll(program: Program, masks: dict[str, Tensor]) -> Unrolled:
    """Every unit and link; `masks`: parameter name -> bool."""
    found = Unrolled(program)
    names = {id(parameter): name for name, parameter in program.named_parameters()}
    kept = {name: mask.flatten().tolist() for name, mask in masks.items()}
    fresh = itertools.count()
    values = [_number(shape, fresh) for shape in program.shapes[: program.entrances]]
    found.inputs = [units.flatten().tolist() for units in values]
    for step, shape in zip(program.steps, program.shapes[program.entrances :], strict=True):
        ends = _number(shape, fresh)
        links = [
            link
            for link in step.kind.links([values[i] for i in step.inputs], ends, names)
            if link.weight is None or link.weight[0] not in kept or kept[link.weight[0]][link.weight[1]]
        ]
        units = ends.flatten().tolist()
        seeds = units if step.kind.seeds else []
        constants = list(itertools.compress(units, step.constant))
        found.stages.append(Stage(links, seeds, constants, step.takes_maximum))
        if step.writes_first:
            values[step.inputs[0]] = ends
        values.append(ends)
    found.outputs = [unit for i in program.outputs for unit in values[i].flatten().tolist()]
    return found


def _number(shape: tuple[int, ...], fresh: "itertools.count[int]") -> Tensor:
    return torch.tensor([next(fresh) for _ in range(math.prod(shape))]).reshape(shape)
