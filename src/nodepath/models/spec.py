"""What a named model is made for, and how it is built."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["ModelSpec", "Recipe"]


@dataclass(frozen=True)
class ModelSpec:
    """What a named model is made for.

    Attributes:
        name: The name that `create` takes.
        input_size: (channels, height, width) of one input; None where nothing says (a factory of the user's).
        num_classes: Number of outputs; None where nothing says, or where a model is published without a classifier.
        description: One line.
    """

    name: str
    input_size: tuple[int, int, int] | None
    num_classes: int | None
    description: str


@dataclass(frozen=True)
class Recipe:
    """How a named model is built.

    Attributes:
        spec: What the model is made for.
        build: Called with the keywords `num_classes` and `in_channels`, each left out where neither the user
            nor the spec gives it. Runs with seeded random generators, so a build that draws is reproducible.
        initialize: Called after `build` with the model and a CPU generator of the seed; None keeps the weights that
            `build` drew.
    """

    spec: ModelSpec
    build: Callable[..., nn.Module]
    initialize: Callable[[nn.Module, torch.Generator], None] | None = None
