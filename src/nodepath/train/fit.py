"""The training loop."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD

from nodepath.data import Dataset
from nodepath.errors import ArgumentError, NonFiniteError
from nodepath.masks import MaskSet
from nodepath.models.seeding import seeded
from nodepath.train.checkpoint import Checkpoint
from nodepath.train.epoch import EpochRecord
from nodepath.train.evaluate import evaluate, kept_modes, logits_of
from nodepath.train.preparation import Preparation
from nodepath.train.recipe import Recipe
from nodepath.train.schedule import learning_rate
from nodepath.train.stream import generator_for, seed_for

__all__ = ["OnEpoch", "fit"]

OnEpoch = Callable[[EpochRecord], None]


def fit(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    masks: MaskSet | None = None,
    order_seed: int = 0,
    augment_seed: int = 0,
    device: torch.device | str = "cpu",
    input_size: tuple[int, int, int] | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoint: Path | str | None = None,
    resume_from: Checkpoint | Path | str | None = None,
) -> tuple[EpochRecord, ...]:
    """Train a model in place by SGD, pruned weights held at exactly zero.

    Order, augmentation and the model's own draws (dropout) come from the seeds and the number of the epoch alone, so
    a resumed training is bit-identical to one that was never interrupted (same machine, versions and threads). The
    caller's random state stays as it was, and so do the modes of the modules.

    Every train image counts once an epoch: where a single one is left for the last batch, which BatchNorm would
    refuse, it joins the batch before.

    Args:
        model: The caller's; trained in place, moved to `device`. Parameters without requires_grad stay as they are.
        dataset: Its train split is learned from, its test split measured after each epoch.
        recipe: All numbers.
        masks: What is kept; None: nothing is pruned.
        order_seed: Of the order of the images.
        augment_seed: Of their augmentation, and of the random numbers that the model draws itself.
        device: Where to compute.
        input_size: (channels, height, width) that images are stretched to; None: as the data has them.
        on_epoch: Called with each new epoch's record, after the checkpoint is written. May raise to stop.
        checkpoint: File that holds, after each epoch, all that is needed to go on; None: none is written.
        resume_from: A checkpoint, or its file: go on from there; its weights replace the model's.

    Returns:
        One record an epoch, those from before the interruption included.

    Raises:
        NonFiniteError: The loss is NaN or infinite; names epoch, step and lr. The checkpoint of the epoch before
            stays; `model` is left as it stands.
        InputMismatchError: The model does not return one logit a class.
        MaskMismatchError: The masks are of another model; names the parameter.
        ArgumentError: Nothing to train, no such device, batches of one image with BatchNorm.
        DataError: The images cannot be given the channels that the model takes.
        RunError: The checkpoint is damaged, of another training, or cannot be written.
    """
    _check_batches(model, recipe.batch_size, len(dataset.train))
    training = _Training(
        model=model,
        dataset=dataset,
        recipe=recipe,
        preparation=Preparation.of(dataset, input_size, recipe),
        optimizer=_optimizer(model.to(torch_device(device)), recipe),
        device=torch_device(device),
        order_seed=order_seed,
        augment_seed=augment_seed,
    )
    identity = {
        "recipe": recipe.model_dump(mode="json"),
        "order_seed": order_seed,
        "augment_seed": augment_seed,
        "masks": None if masks is None else masks.hash,
        "data": dataset.fingerprint,
        "input_size": list(training.preparation.input_size),
    }
    history: tuple[EpochRecord, ...] = ()
    if resume_from is not None:
        start = resume_from if isinstance(resume_from, Checkpoint) else Checkpoint.load(resume_from)
        start.check(identity)
        start.restore_(model, training.optimizer)
        history = start.history
    holding: AbstractContextManager[Any] = nullcontext() if masks is None else masks.hold(model, training.optimizer)
    with kept_modes(model), holding:
        for epoch in range(len(history) + 1, recipe.epochs + 1):
            history = (*history, training.run_epoch(epoch))
            if checkpoint is not None:
                Checkpoint.capture(Path(checkpoint), identity, history, model, training.optimizer).save()
            if on_epoch is not None:
                on_epoch(history[-1])
    return history


def torch_device(device: torch.device | str) -> torch.device:
    """The device of that name, if tensors can be made there.

    Raises:
        ArgumentError: They cannot.
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(f"device='{device}' cannot be used ({reason}); take 'cpu'") from error


def shuffled(count: int, batch_size: int, generator: Generator) -> list[Tensor]:
    """Positions 0 .. count - 1 in random order, in batches; none is of a single image if that can be helped."""
    batches = list(torch.split(torch.randperm(count, generator=generator), batch_size))
    if batch_size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _check_batches(model: nn.Module, batch_size: int, images: int) -> None:
    if min(batch_size, images) == 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise ArgumentError(
            f"batch_size={batch_size} over {images} train image(s) gives batches of one image, "
            "of which BatchNorm knows no variance; take batch_size >= 2"
        )


def _optimizer(model: nn.Module, recipe: Recipe) -> SGD:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ArgumentError("no parameter of the model requires a gradient, so nothing can be trained; unfreeze some")
    return SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


@dataclass(frozen=True)
class _Training:
    """What stays the same from epoch to epoch."""

    model: nn.Module
    dataset: Dataset
    recipe: Recipe
    optimizer: SGD
    preparation: Preparation
    device: torch.device
    order_seed: int
    augment_seed: int

    def run_epoch(self, epoch: int) -> EpochRecord:
        """Train for one epoch and test."""
        began = time.perf_counter()
        with seeded(seed_for("model", self.augment_seed, epoch)):
            train_loss, train_accuracy, lr = self._train(epoch)
            test_loss, test_accuracy = evaluate(
                self.model,
                self.dataset.test,
                self.preparation,
                num_classes=self.dataset.num_classes,
                batch_size=self.recipe.batch_size,  # what fits into memory for training fits for testing
                device=self.device,
            )
        if not math.isfinite(test_loss):
            raise NonFiniteError(f"test loss is {test_loss} after epoch {epoch} (lr {lr:g}); {_WAY_OUT}")
        seconds = time.perf_counter() - began
        return EpochRecord(epoch, train_loss, train_accuracy, test_loss, test_accuracy, lr, seconds)

    def _train(self, epoch: int) -> tuple[float, float, float]:
        """One pass over the train split: mean loss, fraction right, the last step size."""
        split, lr = self.dataset.train, math.nan
        batches = shuffled(len(split), self.recipe.batch_size, generator_for("order", self.order_seed, epoch))
        augmentation = generator_for("augmentation", self.augment_seed, epoch)
        total, right = 0.0, 0
        self.model.train()
        for number, chosen in enumerate(batches):
            positions = chosen.to(split.images.device)
            inputs = self.preparation.augmented(split.images[positions], self.device, augmentation)
            labels = split.labels[positions].to(self.device)
            lr = learning_rate(self.recipe, (epoch - 1) * len(batches) + number, len(batches))
            logits = logits_of(self.model, inputs, self.dataset.num_classes)
            loss = functional.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
            value = loss.item()
            if not math.isfinite(value):
                raise NonFiniteError(
                    f"loss is {value} at epoch {epoch}, step {number + 1} of {len(batches)} (lr {lr:g}); {_WAY_OUT}"
                )
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += value * len(chosen)
            right += int((logits.detach().argmax(1) == labels).sum())
        self.optimizer.zero_grad()
        return total / len(split), right / len(split), lr


_WAY_OUT = "lower lr, or add warmup_epochs"
