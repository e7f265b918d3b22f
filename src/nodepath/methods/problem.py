"""What a method is asked: which of these weights to keep, and how many."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from nodepath.budgets import BUDGETS, Budget, Uniform
from nodepath.errors import ArgumentError
from nodepath.paths import Network
from nodepath.paths.layer import Layer
from nodepath.registry import nearest
from nodepath.scores import Subject

__all__ = ["Choice", "Problem"]


@dataclass(frozen=True)
class Problem:
    """The task of a method.

    Attributes:
        network: The model as a graph.
        subject: The same for scores: how to run it, data, random generator.
        weights: Parameter name -> weight of every prunable layer, detached.
        included: The layers that may be pruned; the others stay dense.
        keep: Number of weights to keep among the included.
        scope: "global": one ranking over all layers; "layerwise": the same density in each layer; or a budget's name.
        counts: Number of weights to keep by layer, if the user gave it; overrides `scope`.
    """

    network: Network
    subject: Subject
    weights: Mapping[str, Tensor]
    included: tuple[str, ...]
    keep: int
    scope: str | None = None
    counts: Mapping[str, int] | None = field(default=None)

    @property
    def generator(self) -> torch.Generator:
        """The source of all randomness; on the CPU."""
        return self.subject.generator

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The included layers, in the order of use."""
        return tuple(self.network.layers[name] for name in self.included)

    @cached_property
    def size(self) -> int:
        """Number of included weights."""
        return sum(layer.size for layer in self.layers)

    def layer_counts(self, budget: str | None = None) -> dict[str, int] | None:
        """How many weights each layer keeps; None if all layers compete for the same budget.

        Args:
            budget: The method's own budget, used if the user chose neither counts nor a scope; None: global.

        Raises:
            ArgumentError: `scope` is no budget.
        """
        if self.counts is not None:
            return dict(self.counts)
        scope = self.scope or budget or "global"
        if scope == "global":
            return None
        if scope != "layerwise" and scope not in BUDGETS:
            raise ArgumentError(f"unknown scope '{scope}'; {nearest(scope, ['global', 'layerwise', *BUDGETS])}")
        chosen: Budget = Uniform() if scope == "layerwise" else BUDGETS[scope]()
        return chosen(self.layers, self.keep)


@dataclass(frozen=True)
class Choice:
    """A method's answer.

    Attributes:
        masks: Parameter name -> bool, for each included layer.
        scores: What it ranked by, if it did: decides which weight an emptied layer gets back.
    """

    masks: dict[str, Tensor]
    scores: Mapping[str, Tensor] | None = None
