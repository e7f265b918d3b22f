"""How to train: the numbers of a recipe, checked."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from nodepath.errors import ArgumentError
from nodepath.train.settings import Settings

__all__ = ["Recipe"]

_STEP_ONLY = ("milestones", "gamma")


def _none_is_zero(value: Any) -> Any:
    return 0.0 if value is None else value


class Recipe(Settings):
    """SGD with momentum, a schedule of its step size, and the augmentation of the images.

    The defaults are the papers' recipe for ResNet-20 and VGG-19 on CIFAR (160 epochs there; the number is left to
    you). Weight decay acts on every trainable parameter, biases and norms included, as in their code.

    Raises:
        ArgumentError: A field is unknown, missing, of another type or out of range, or two do not fit each other.
    """

    epochs: Annotated[int, Field(ge=1)]
    """Passes over the train split."""

    batch_size: Annotated[int, Field(ge=1)] = 128
    """Images a step. A last batch of a single image joins the one before it, which BatchNorm would refuse."""

    lr: Annotated[float, Field(gt=0)] = 0.1
    """Step size at its highest."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD; 0 for none."""

    nesterov: bool = False
    """Nesterov's momentum."""

    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    """L2 penalty: weight_decay * weight is added to each gradient."""

    schedule: Literal["step", "cosine", "constant"] = "step"
    """How lr falls: times `gamma` at each milestone, along half a cosine to 0, or not."""

    milestones: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(strict=False)] = (0.5, 0.75)
    """Of schedule "step": fractions of the whole training, ascending."""

    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Of schedule "step": what lr is multiplied by at each milestone."""

    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Epochs over which lr rises in equal steps from near 0; part of `epochs`."""

    crop: Annotated[float, Field(ge=0, le=0.5), BeforeValidator(_none_is_zero)] = 0.125
    """Largest random shift of a train image, as a fraction of its shorter side (4 pixels of 32); 0 or None: none."""

    flip: bool | None = None
    """Mirror half of the train images left to right; None: where the data set says that it keeps the class."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the target spread evenly over all classes; in training only."""

    @model_validator(mode="after")
    def _fields_fit_each_other(self) -> "Recipe":
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ArgumentError(f"milestones={self.milestones} do not ascend; order them, each once")
        if self.nesterov and self.momentum == 0:
            raise ArgumentError("nesterov=True with momentum=0.0; give a momentum, or leave nesterov out")
        if self.warmup_epochs >= self.epochs:
            raise ArgumentError(
                f"warmup_epochs={self.warmup_epochs:g} leave nothing of epochs={self.epochs}; warm up for less"
            )
        for name in _STEP_ONLY if self.schedule != "step" else ():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ArgumentError(
                    f"{name}={getattr(self, name)} with schedule='{self.schedule}'; leave it out, or take 'step'"
                )
        return self
