"""The images that a method scores with."""

import torch
from torch import Tensor

from nodepath import data
from nodepath.data import Dataset
from nodepath.train import Preparation

__all__ = ["score_batch_for"]

PER_CLASS = 10


def score_batch_for(
    dataset: Dataset, preparation: Preparation, *, seed: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """10 train images of each class, drawn by seed, normalised, not augmented.

    Args:
        dataset: Where from.
        preparation: What the network reads.
        seed: Of the draw.
        device: Where the batch lies.

    Returns:
        Inputs (10 x classes, channels, height, width) and labels.

    Raises:
        DataError: A class has too few images.
    """
    images, labels, _ = data.score_batch(dataset.train, per_class=PER_CLASS, seed=seed, num_classes=dataset.num_classes)
    return preparation.plain(images, device), labels.to(device)
