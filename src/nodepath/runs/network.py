"""The network of a run: built for its data."""

import inspect
from pkgutil import resolve_name

from torch import nn

from nodepath import models
from nodepath.data import Dataset
from nodepath.errors import ArgumentError
from nodepath.runs.spec import RunSpec

__all__ = ["build", "input_size"]


def input_size(spec: RunSpec, dataset: Dataset) -> tuple[int, int, int]:
    """(channels, height, width) that the network reads.

    What the spec says; else the size that the model is made for, with the channels of the data. torchvision's
    networks have a fixed first layer, so they get theirs.

    Raises:
        ArgumentError: Neither says a size.
    """
    if spec.input is not None:
        channels, height, width = spec.input
        return channels, height, width
    made_for = models.describe(spec.model).input_size
    if made_for is None:
        raise ArgumentError(
            f"nothing says what input model '{spec.model}' reads; pass --input CxHxW, e.g. "
            f"--input {dataset.channels}x{dataset.image_size[0]}x{dataset.image_size[1]} as the data has it"
        )
    channels = made_for[0] if spec.model.startswith("torchvision:") else dataset.channels
    return channels, made_for[1], made_for[2]


def build(spec: RunSpec, dataset: Dataset, channels: int) -> nn.Module:
    """The network with the weights of the spec's weight seed.

    Raises:
        ArgumentError: It would have fewer outputs than the data has classes, or the model cannot be built so.
        UnknownNameError: No such model.
    """
    classes = dataset.num_classes if spec.num_classes is None else spec.num_classes
    if classes < dataset.num_classes:
        raise ArgumentError(
            f"num_classes={classes} outputs cannot tell the {dataset.num_classes} classes of '{spec.data}' apart; "
            "leave num_classes out"
        )
    takes = _keywords(spec.model)
    return models.create(
        spec.model,
        seed=spec.seed_of("weight"),
        num_classes=classes if "num_classes" in takes or spec.num_classes is not None else None,
        in_channels=channels if "in_channels" in takes else None,
    )


def _keywords(model: str) -> set[str]:
    """Which of the two sizes a model can be asked for: both, but for a factory whose signature says otherwise."""
    both = {"num_classes", "in_channels"}
    if models.describe(model).input_size is not None or ":" not in model:
        return both
    parameters = inspect.signature(resolve_name(model)).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return both if takes_any else both & set(parameters)
