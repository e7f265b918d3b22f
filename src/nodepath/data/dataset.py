"""A data set in memory: images as bytes, labels as class numbers, and what is known of them."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nodepath.data.labels import check_labels
from nodepath.errors import DataError

__all__ = ["Dataset", "Split"]


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels, in a fixed order.

    Args:
        images: uint8, shape (N, C, H, W), N >= 1.
        labels: int64, shape (N,): the class number of each image.

    Raises:
        DataError: Another type or shape, no image, or unequal numbers of images and labels.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise DataError(
                f"images are {self.images.dtype} of shape {tuple(self.images.shape)}; "
                "give uint8 of shape (number, channels, height, width)"
            )
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            raise DataError(
                f"labels are {self.labels.dtype} of shape {tuple(self.labels.shape)}; give int64 of shape (number,)"
            )
        if len(self.images) != len(self.labels):
            raise DataError(f"{len(self.images)} images but {len(self.labels)} labels; give one label an image")
        if self.images.numel() == 0:
            raise DataError(
                f"images of shape {tuple(self.images.shape)} hold no pixel; a split needs at least one image"
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A train and a test split of images of one size.

    Args:
        name: What records and messages call it.
        train: The split that networks learn from.
        test: The split that accuracy is measured on.
        classes: The name of each class; their numbers where no names are known.
        description: One or two sentences: source, sizes, split.
        flips: Whether an image mirrored left to right is still of its class (natural images only).

    Raises:
        DataError: The splits differ in channels or size, or a label is not in 0 .. len(classes) - 1.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    description: str
    flips: bool

    def __post_init__(self) -> None:
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise DataError(
                f"data set '{self.name}': train images have shape {tuple(self.train.images.shape[1:])}, "
                f"test images {tuple(self.test.images.shape[1:])} (channels, height, width); pass size= "
                "or give both the same channels"
            )
        for role, split in (("train", self.train), ("test", self.test)):
            check_labels(split.labels, len(self.classes), f"data set '{self.name}', {role} split")

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return self.train.images.shape[1]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.train.images.shape[2], self.train.images.shape[3]

    @cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, from the exact histogram of the train split's bytes."""
        values = torch.arange(256, dtype=torch.float64) / 255
        means, deviations = [], []
        for channel in self.train.images.unbind(1):
            share = torch.bincount(channel.flatten(), minlength=256).cpu().double() / channel.numel()
            mean = (share * values).sum()
            means.append(mean.item())
            deviations.append((share * (values - mean).square()).sum().sqrt().item())
        return tuple(means), tuple(deviations)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of the train split per channel, as a fraction of 255."""
        return self._moments[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of the train split per channel (over all its pixels), as a fraction of 255."""
        return self._moments[1]

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits: SHA-256 over shape and bytes of train images, train labels, test images, test labels."""
        digest = hashlib.sha256()
        for tensor in (self.train.images, self.train.labels, self.test.images, self.test.labels):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]
