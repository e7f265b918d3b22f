"""Links between single units, and the kinds of steps that make them: layers, functions, joins.

Which unit feeds which is found by pushing one-hot inputs through the very same functions, so that nothing here knows
what a convolution or a pooling is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call


@dataclass(frozen=True)
class Link:
    """A connection of two units.

    Attributes:
        start, end: The units.
        weight: Parameter name and position in the flat parameter; None for a fixed connection.
        layer: Parameter name and which part of it, if it packs several layers.
        carries: Paths run along it. Otherwise `start` steers `end`: it lives where `end` does, and carries nothing.
        guard: A unit that must be reached, or else the link is not there.
        lenient: It is enough if the guard is a constant other than zero.
    """

    start: int
    end: int
    weight: tuple[str, int] | None = None
    layer: tuple[str, str] = ("", "")
    linear: bool = False
    start_channel: int = 0
    end_channel: int = 0
    carries: bool = True
    guard: int | None = None
    lenient: bool = False


class Kind(Protocol):
    """How the units that a step makes are linked to those it reads."""

    seeds: bool
    """What is made counts one whatever arrives: scores of attention."""

    def links(self, starts: list[Tensor], ends: Tensor, names: Mapping[int, str]) -> Iterator[Link]:
        """All links; `names`: id of a parameter -> its name."""


@dataclass(frozen=True)
class Function:
    """One input, no weights: `run`, or what stands for it where units of one position would mix (norms, softmax)."""

    run: Callable[[Tensor], Tensor]
    seeds: bool = False

    def links(self, starts: list[Tensor], ends: Tensor, names: Mapping[int, str]) -> Iterator[Link]:
        one_hot = _one_hot(starts[0]).float()
        with torch.no_grad():  # the difference takes away what biases add
            made = [self.run(x.clone()).flatten(1) for x in (one_hot, torch.zeros_like(one_hot))]
        before, after = starts[0].flatten().tolist(), ends.flatten().tolist()
        for i, j in (made[0] != made[1]).nonzero().tolist():
            yield Link(before[i], after[j])


@dataclass(frozen=True)
class Merge:
    """Several inputs, summed element by element or laid side by side."""

    run: Callable[..., Tensor]
    seeds: bool = False

    def links(self, starts: list[Tensor], ends: Tensor, names: Mapping[int, str]) -> Iterator[Link]:
        for which, units in enumerate(starts):
            probe = [torch.zeros(1, *other.shape, dtype=torch.float64) for other in starts]
            probe[which] = (units + 1).double().unsqueeze(0)  # serial numbers; 0 says "not from here"
            made = self.run(*probe)[0].long()
            for end, start in zip(ends.flatten().tolist(), made.flatten().tolist(), strict=True):
                if start:
                    yield Link(start - 1, end)


@dataclass(frozen=True)
class Apply:
    """A layer, its weights being their own serial numbers: so the output says which weight made the connection.

    Attributes:
        layer: The module, or a Linear that stands for some rows of a parameter that packs several.
        owner: The parameter.
        part: Which part of it.
        first: Where the weights of the part begin in the flat parameter.
    """

    layer: nn.Module
    owner: nn.Parameter
    part: str = ""
    first: int = 0
    seeds: bool = False

    def links(self, starts: list[Tensor], ends: Tensor, names: Mapping[int, str]) -> Iterator[Link]:
        weight, bias = self.layer.weight, self.layer.bias
        inside = {"weight": torch.arange(1, weight.numel() + 1, dtype=torch.float64).reshape(weight.shape)}
        if bias is not None:
            inside["bias"] = torch.zeros(bias.shape, dtype=torch.float64)
        code = functional_call(self.layer, inside, (_one_hot(starts[0]),)).flatten(1).round().long()
        before, after = starts[0].flatten().tolist(), ends.flatten().tolist()
        name, linear = names[id(self.owner)], isinstance(self.layer, nn.Linear)
        channels = [_channels(units, linear) for units in (starts[0], ends)]
        for i, j in code.nonzero().tolist():
            entry = (name, int(code[i, j]) - 1 + self.first)
            yield Link(before[i], after[j], entry, (name, self.part), linear, channels[0][i], channels[1][j])


def _one_hot(units: Tensor) -> Tensor:
    return torch.eye(units.numel(), dtype=torch.float64).reshape(-1, *units.shape)


def _channels(units: Tensor, linear: bool) -> list[int]:
    """Which channel each unit belongs to: on the last axis for a Linear, on the first for a convolution."""
    axis = units.ndim - 1 if linear else 0
    own = torch.arange(units.shape[axis]).reshape([-1 if a == axis else 1 for a in range(units.ndim)])
    return own.expand(units.shape).flatten().tolist()
