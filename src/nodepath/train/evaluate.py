"""Loss and accuracy of a network on a split."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from nodepath.data import Split
from nodepath.errors import InputMismatchError
from nodepath.train.preparation import Preparation

__all__ = ["evaluate", "kept_modes", "logits_of"]


@contextmanager
def kept_modes(model: nn.Module) -> Iterator[None]:
    """Give each module its training or evaluation mode back afterwards, also after an error."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def logits_of(model: nn.Module, inputs: Tensor, classes: int) -> Tensor:
    """The model's output, if it is one number a class.

    Raises:
        InputMismatchError: It is not a tensor of shape (batch, at least `classes`).
    """
    logits = model(inputs)
    if not isinstance(logits, Tensor):
        raise InputMismatchError(
            f"the model returned a {type(logits).__name__}; training needs a tensor of logits (batch, classes)"
        )
    if logits.ndim != 2 or logits.shape[0] != inputs.shape[0] or logits.shape[1] < classes:
        raise InputMismatchError(
            f"the model returned shape {tuple(logits.shape)} for {inputs.shape[0]} images of {classes} classes; "
            f"build it with num_classes={classes}"
        )
    return logits


@torch.no_grad()
def evaluate(
    model: nn.Module,
    split: Split,
    preparation: Preparation,
    *,
    num_classes: int,
    batch_size: int = 128,
    device: torch.device | str = "cpu",
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy, in evaluation mode, without augmentation.

    Args:
        model: On `device`; its modes are as before afterwards.
        split: All its images count.
        preparation: From bytes to input.
        num_classes: How many the model must tell apart at least.
        batch_size: Images at once.
        device: Where to compute.

    Returns:
        Loss (nats an image, may be NaN or infinite), fraction right.

    Raises:
        InputMismatchError: The model does not return one logit a class.
    """
    loss, right = 0.0, 0
    with kept_modes(model):
        model.eval()
        batches = zip(torch.split(split.images, batch_size), torch.split(split.labels, batch_size), strict=True)
        for images, targets in batches:
            labels = targets.to(device)
            logits = logits_of(model, preparation.plain(images, device), num_classes)
            loss += functional.cross_entropy(logits, labels, reduction="sum").item()
            right += int((logits.argmax(1) == labels).sum())
    return loss / len(split), right / len(split)
