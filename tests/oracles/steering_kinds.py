"""Kinds of steps in which one value steers another: gates, and attention taken apart."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import torch
from linking import Link
from torch import Tensor


@dataclass(frozen=True)
class Gate:
    """`value * control`, or `value / control`; element by element, broadcast.

    Attributes:
        kills: A control that is zero closes the way. A divisor never does.
    """

    kills: bool = True
    seeds: bool = False

    def links(self, starts: list[Tensor], ends: Tensor, names: Mapping[int, str]) -> Iterator[Link]:
        both = (units.expand(ends.shape).flatten().tolist() for units in starts)
        for end, carried, gate in zip(ends.flatten().tolist(), *both, strict=True):
            yield Link(carried, end, guard=gate if self.kills else None, lenient=True)
            yield Link(gate, end, carries=False, guard=carried)


@dataclass(frozen=True)
class Score:
    """`q k'` of (..., queries, features) and (..., keys, features): steered by both, a pattern of ones."""

    seeds: bool = True

    def links(self, starts: list[Tensor], ends: Tensor, names: Mapping[int, str]) -> Iterator[Link]:
        q, k = starts
        *lead, queries, keys = ends.shape
        for at in product(*map(range, (*lead, queries, keys, q.shape[-1]))):
            *head, query, key, feature = at
            end = int(ends[(*head, query, key)])
            pair = int(q[(*head, query, feature)]), int(k[(*head, key, feature)])
            yield Link(pair[0], end, carries=False, guard=pair[1], lenient=True)
            yield Link(pair[1], end, carries=False, guard=pair[0], lenient=True)


@dataclass(frozen=True)
class Hide:
    """Scores where a query may read, nothing elsewhere."""

    allowed: Tensor
    seeds: bool = False

    def links(self, starts: list[Tensor], ends: Tensor, names: Mapping[int, str]) -> Iterator[Link]:
        allowed = self.allowed.expand(ends.shape).flatten().tolist()
        for start, end, seen in zip(starts[0].flatten().tolist(), ends.flatten().tolist(), allowed, strict=True):
            if seen:
                yield Link(start, end)


@dataclass(frozen=True)
class Couple:
    """Softmax: what is read at one position of the axis depends on the scores of all."""

    axis: int = -1
    seeds: bool = False

    def links(self, starts: list[Tensor], ends: Tensor, names: Mapping[int, str]) -> Iterator[Link]:
        rows = (ids.movedim(self.axis, -1).flatten(0, -2).tolist() for ids in (starts[0], ends))
        for before, after in zip(*rows, strict=True):
            for (i, start), (j, end) in product(enumerate(before), enumerate(after)):
                yield Link(start, end, carries=i == j, guard=start)


@dataclass(frozen=True)
class Mix:
    """`control @ value` of (..., queries, keys) and (..., keys, features).

    Attributes:
        attention: The control is made of scores: what is not reached is hidden.
    """

    attention: bool = True
    seeds: bool = False

    def links(self, starts: list[Tensor], ends: Tensor, names: Mapping[int, str]) -> Iterator[Link]:
        control, value = starts
        for at in product(*map(range, (*ends.shape, control.shape[-1]))):
            *head, query, feature, key = at
            end = int(ends[(*head, query, feature)])
            steers, carried = int(control[(*head, query, key)]), int(value[(*head, key, feature)])
            yield Link(carried, end, guard=steers, lenient=not self.attention)
            yield Link(steers, end, carries=False, guard=carried)


def causal(queries: int, keys: int) -> Tensor:
    """Which key each query may read: none after itself."""
    return torch.ones(queries, keys, dtype=torch.bool).tril()
