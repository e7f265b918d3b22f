"""Build a network by its name."""

import operator
from typing import SupportsIndex, cast

import torch
from torch import nn

from nodepath.errors import ArgumentError, UnknownNameError
from nodepath.models.from_factory import factory_recipe
from nodepath.models.from_timm import timm_recipe
from nodepath.models.from_torchvision import torchvision_recipe
from nodepath.models.seeding import seeded
from nodepath.models.spec import ModelSpec, Recipe
from nodepath.models.zoo import MODELS
from nodepath.registry import nearest

__all__ = ["create", "describe", "names"]


def create(name: str, *, num_classes: int | None = None, seed: int = 0, in_channels: int | None = None) -> nn.Module:
    """Build a network with fresh weights.

    The same name, arguments and seed give the same weights, bit for bit (a factory's as far as it draws from the
    global generators of torch, numpy or `random`). The caller's random state stays as it was, also after an error.

    Args:
        name: One of `names()`; `torchvision:NAME` or `timm:NAME` (architecture only, nothing is downloaded);
            `pkg.module:factory` for a function of one's own that returns a network.
        num_classes: Number of outputs, >= 1; default: what the model is made for (`describe`).
        seed: Of the weights, in [0, 2**63).
        in_channels: Channels of the input, >= 1; default: what the model is made for. torchvision's take 3 only.

    Returns:
        The network as constructed: on torch's default device, in training mode.

    Raises:
        UnknownNameError: No such model; names the nearest.
        MissingExtraError: A `torchvision:` or `timm:` name without the extra `vision`.
        ArgumentError: An argument out of range, or one that the model cannot meet.
    """
    seed = _integer("seed", seed, least=0, below=2**63)
    given = {
        argument: _integer(argument, value, least=1)
        for argument, value in (("num_classes", num_classes), ("in_channels", in_channels))
        if value is not None
    }
    recipe = _look_up(name)
    with seeded(seed):
        model = recipe.build(**{**_defaults(recipe.spec), **given})
        if recipe.initialize is not None:
            recipe.initialize(model, torch.Generator(device="cpu").manual_seed(seed))
    return model


def describe(name: str) -> ModelSpec:
    """What the model of that name is made for. Builds nothing and downloads nothing.

    Args:
        name: As `create` takes it.

    Raises:
        UnknownNameError: No such model; names the nearest.
        MissingExtraError: A `torchvision:` or `timm:` name without the extra `vision`.
        ArgumentError: What is named is not a model.
    """
    return _look_up(name).spec


def names() -> list[str]:
    """The zoo's names, sorted; torchvision's, timm's and factories are not listed."""
    return MODELS.names()


def _defaults(spec: ModelSpec) -> dict[str, int]:
    known = {}
    if spec.num_classes is not None:
        known["num_classes"] = spec.num_classes
    if spec.input_size is not None:
        known["in_channels"] = spec.input_size[0]
    return known


def _look_up(name: str) -> Recipe:
    if not isinstance(name, str):
        raise ArgumentError(f"name={name!r} is a {type(name).__name__}; name a model by a string, e.g. 'resnet20'")
    # apart from the build: an import that draws at its first time only must not shift what the build draws
    with seeded(0):
        if name.startswith("torchvision:"):
            return torchvision_recipe(name)
        if name.startswith("timm:"):
            return timm_recipe(name)
        if ":" in name:
            return factory_recipe(name)
        if name not in MODELS:
            raise UnknownNameError(
                f"unknown model '{name}'; {nearest(name, MODELS)}; "
                "or write 'torchvision:NAME', 'timm:NAME' or 'pkg.module:factory'"
            )
        return MODELS[name]


def _integer(argument: str, value: object, *, least: int, below: int | None = None) -> int:
    limit = f">= {least}" if below is None else f"in [{least}, {below})"
    try:
        number = operator.index(cast(SupportsIndex, value))
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise ArgumentError(f"{argument}={value!r} is a {type(value).__name__}; pass an integer {limit}")
    if number < least or (below is not None and number >= below):
        raise ArgumentError(f"{argument}={number} is out of range; pass an integer {limit}")
    return number
