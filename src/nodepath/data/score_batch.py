"""The images that data-dependent methods score with."""

import torch
from torch import Tensor

from nodepath.data.dataset import Split
from nodepath.errors import ArgumentError, DataError

__all__ = ["score_batch"]


def score_batch(
    split: Split, *, per_class: int = 10, seed: int = 0, num_classes: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw the same number of images of each class, without augmentation.

    The classes take turns (0, 1, ..., K - 1, 0, 1, ...), so that a method that splits the batch in order
    gets balanced pieces.

    Args:
        split: Where to draw from, usually a data set's train split.
        per_class: Images a class.
        seed: Of a generator of its own: the same seed draws the same images on any device.
        num_classes: K; None: the largest label of the split plus one.

    Returns:
        Images uint8 (K * per_class, C, H, W), labels int64 (K * per_class,), and the images' positions in
        the split, int64 (K * per_class,), all on the split's device. No image comes twice.

    Raises:
        DataError: A class has fewer images than `per_class`; names it and the number.
        ArgumentError: `per_class` is below 1.
    """
    if per_class < 1:
        raise ArgumentError(f"per_class is {per_class}; draw at least 1 image a class")
    generator = torch.Generator().manual_seed(seed)
    labels = split.labels.cpu()
    classes = int(labels.max()) + 1 if num_classes is None else num_classes
    drawn = []
    for label in range(classes):
        members = (labels == label).nonzero().flatten()
        if len(members) < per_class:
            raise DataError(
                f"class {label} has {len(members)} image(s), {per_class} are to be drawn of each; lower per_class"
                + (" or take more data" if len(members) else " cannot help: leave the class out of the classes")
            )
        drawn.append(members[torch.randperm(len(members), generator=generator)[:per_class]])
    indices = torch.stack(drawn, dim=1).flatten().to(split.labels.device)
    return split.images[indices], split.labels[indices], indices
