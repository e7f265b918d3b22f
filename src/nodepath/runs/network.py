"""The network for some data: as the model is made for, with the channels and classes of the data."""

import inspect
from pkgutil import resolve_name

from torch import nn

from nodepath import models
from nodepath.data import Dataset
from nodepath.errors import ArgumentError

__all__ = ["Size", "network_for"]

Size = tuple[int, int, int]
"""Channels, height and width that a network reads."""


def network_for(
    name: str,
    *,
    dataset: Dataset | None = None,
    input: Size | None = None,
    num_classes: int | None = None,
    seed: int = 0,
) -> tuple[nn.Module, Size]:
    """Build a named model and say what it reads.

    Args:
        name: As `nodepath.models.create` takes it.
        dataset: Gives channels and classes where the caller does not; None: what the model is made for.
        input: What it shall read; None: the size that the model is made for.
        num_classes: Outputs; None: the classes of the data, or what the model is made for.
        seed: Of the weights.

    Raises:
        ArgumentError: Nothing says a size, there are fewer outputs than classes, or the model cannot be built so.
        UnknownNameError: No such model.
    """
    size = input or _size(name, dataset)
    classes = num_classes
    if dataset is not None:
        classes = dataset.num_classes if num_classes is None else num_classes
        if classes < dataset.num_classes:
            raise ArgumentError(
                f"num_classes={classes} outputs cannot tell the {dataset.num_classes} classes of '{dataset.name}' "
                "apart; leave num_classes out"
            )
    takes = _keywords(name)
    model = models.create(
        name,
        seed=seed,
        num_classes=classes if "num_classes" in takes or num_classes is not None else None,
        in_channels=size[0] if "in_channels" in takes else None,
    )
    return model, size


def _size(name: str, dataset: Dataset | None) -> Size:
    """The size that the model is made for, with the channels of the data; torchvision's first layer is fixed."""
    made_for = models.describe(name).input_size
    if made_for is None:
        example = "3x32x32"
        if dataset is not None:
            example = f"{dataset.channels}x{dataset.image_size[0]}x{dataset.image_size[1]} as the data has it"
        raise ArgumentError(f"nothing says what input model '{name}' reads; pass --input CxHxW, e.g. --input {example}")
    channels = made_for[0] if dataset is None or name.startswith("torchvision:") else dataset.channels
    return channels, made_for[1], made_for[2]


def _keywords(model: str) -> set[str]:
    """Which of the two sizes a model can be asked for: both, but for a factory whose signature says otherwise."""
    both = {"num_classes", "in_channels"}
    if models.describe(model).input_size is not None or ":" not in model:
        return both
    parameters = inspect.signature(resolve_name(model)).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return both if takes_any else both & set(parameters)
