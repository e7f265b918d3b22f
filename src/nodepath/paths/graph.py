"""The order in which a forward pass uses its layers, and where its branches meet."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Graph", "Merge", "bypassed_layers", "longest_chain", "projection_shortcuts"]


@dataclass(frozen=True)
class Merge:
    """Two branches are added.

    Attributes:
        sides: The steps at the end of each.
        live: Whether paths arrive over each (looked at only where reachability is sent).
    """

    sides: tuple[int, int]
    live: tuple[bool, bool]


@dataclass
class Graph:
    """One step an operation, in the order of execution; parents come before children.

    Attributes:
        parents: Of each step, the steps whose outputs it reads.
        layers: Of each step, the prunable weight that it applies, or None.
        merges: Where two branches are added.
    """

    parents: list[tuple[int, ...]] = field(default_factory=list)
    layers: list[str | None] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)

    def add(self, parents: tuple[int, ...], layer: str | None = None) -> int:
        """Append a step and return its number."""
        self.parents.append(parents)
        self.layers.append(layer)
        return len(self.parents) - 1


def projection_shortcuts(graph: Graph) -> frozenset[str]:
    """The prunable layers that stand alone beside a residual branch.

    A layer is a projection shortcut if it is the only prunable layer on its side of a residual add
    whose other side has at least two prunable layers in sequence: a matter of structure, never of a name.

    Cost: steps x merges / 64 machine words.
    """
    found: set[str] = set()
    for side, other, _ in _residual_branches(graph):
        alone = [graph.layers[step] for step in side if graph.layers[step] is not None]
        if len(alone) == 1 and longest_chain(graph, other) >= 2:
            found.update(name for name in alone if name is not None)
    return frozenset(found)


def bypassed_layers(graph: Graph, names: Iterable[str]) -> list[str]:
    """Those of the layers that lie on one side of a residual add whose other side brings paths."""
    passed = {
        graph.layers[step] for side, _, other_is_live in _residual_branches(graph) if other_is_live for step in side
    }
    return [name for name in names if name in passed]


def _residual_branches(graph: Graph) -> Iterator[tuple[list[int], list[int], bool]]:
    """Each side of each residual add: the steps on it alone, those on the other alone, whether the other is live."""
    ancestors: list[int] = []
    for step, parents in enumerate(graph.parents):
        seen = 1 << step
        for parent in parents:
            seen |= ancestors[parent]
        ancestors.append(seen)
    for merge in graph.merges:
        left, right = (ancestors[end] for end in merge.sides)
        if not left & right:
            continue  # one side does not come from the input (a positional embedding): no residual add
        first, second = _members(left & ~right), _members(right & ~left)
        yield first, second, merge.live[1]
        yield second, first, merge.live[0]


def _members(bits: int) -> list[int]:
    members = []
    while bits:
        lowest = bits & -bits
        members.append(lowest.bit_length() - 1)
        bits ^= lowest
    return members


def longest_chain(graph: Graph, steps: Sequence[int]) -> int:
    """The most prunable layers in sequence among `steps`, which are in order."""
    length: dict[int, int] = {}
    for step in steps:
        before = max((length.get(parent, 0) for parent in graph.parents[step]), default=0)
        length[step] = before + (graph.layers[step] is not None)
    return max(length.values(), default=0)
