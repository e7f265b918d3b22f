"""Image classifiers of torchvision, with fresh weights."""

import warnings
from types import ModuleType

from torch import nn

from nodepath.errors import ArgumentError, MissingExtraError, UnknownNameError
from nodepath.models.spec import ModelSpec, Recipe
from nodepath.models.suggestion import did_you_mean

__all__ = ["torchvision_recipe"]


def torchvision_recipe(full_name: str) -> Recipe:
    """How to build `torchvision:NAME`, never with downloaded weights.

    Any of `torchvision.models`' image classifiers, as its own builder makes it. `input_size` is the smallest crop
    among its published weights: what the plain builder is made for (larger ones are fine-tuned variants).

    Raises:
        MissingExtraError: torchvision cannot be imported.
        UnknownNameError: torchvision has no such model.
        ArgumentError: It has, but not as an image classifier.
    """
    name = full_name.partition(":")[2]
    try:
        from torchvision import models
    except ImportError as error:
        raise MissingExtraError(
            f"model '{full_name}' needs torchvision, which cannot be imported ({error}); pip install nodepath[vision]"
        ) from error

    _check_classifier(models, full_name, name)
    published = models.get_model_weights(name)
    crop = min(weights.transforms().crop_size[0] for weights in published)
    classes = len(published.DEFAULT.meta["categories"])

    def build(*, num_classes: int, in_channels: int) -> nn.Module:
        if in_channels != 3:
            raise ArgumentError(
                f"model '{full_name}' reads 3 channels, not in_channels={in_channels}; torchvision's networks have "
                "a fixed first layer: take one of timm's, or write a factory"
            )
        with warnings.catch_warnings():
            # googlenet and inception_v3 announce that they will one day initialise otherwise
            warnings.filterwarnings("ignore", "The default weight initialization of", FutureWarning)
            model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes)
        return model

    return Recipe(ModelSpec(full_name, (3, crop, crop), classes, f"torchvision's {name} with fresh weights"), build)


def _check_classifier(models: ModuleType, full_name: str, name: str) -> None:
    classifiers = models.list_models(module=models)
    if name in classifiers:
        return
    if name in models.list_models():
        raise ArgumentError(
            f"model '{full_name}' is not one of torchvision's plain image classifiers; "
            "write a factory that builds it and name that as 'pkg.module:factory'"
        )
    raise UnknownNameError(
        f"unknown model '{full_name}'; {did_you_mean(name, classifiers)}"
        "torchvision.models.list_models(module=torchvision.models) lists them"
    )
