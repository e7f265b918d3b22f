"""The images that a method scores with."""

import warnings

import torch
from torch import Tensor

from nodepath import data
from nodepath.data import Dataset
from nodepath.errors import ScoreBatchWarning
from nodepath.train import Preparation

__all__ = ["score_batch_for"]

PER_CLASS = 10


def score_batch_for(
    dataset: Dataset, preparation: Preparation, *, seed: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """10 train images of each class, drawn by seed, normalised, not augmented; fewer of each if a class has fewer.

    Args:
        dataset: Where from.
        preparation: What the network reads.
        seed: Of the draw.
        device: Where the batch lies.

    Returns:
        Inputs (images of all classes, channels, height, width) and labels.

    Raises:
        DataError: A class has no image.

    Warns:
        ScoreBatchWarning: A class has fewer than 10.
    """
    smallest = int(torch.bincount(dataset.train.labels, minlength=dataset.num_classes).min())
    per_class = max(1, min(PER_CLASS, smallest))
    if per_class < PER_CLASS:
        warnings.warn(
            f"the smallest class of '{dataset.name}' has {smallest} train images, so the score batch takes {per_class} "
            f"of each class instead of {PER_CLASS}",
            ScoreBatchWarning,
            stacklevel=2,
        )
    images, labels, _ = data.score_batch(dataset.train, per_class=per_class, seed=seed, num_classes=dataset.num_classes)
    return preparation.plain(images, device), labels.to(device)
