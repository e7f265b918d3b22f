"""From a data set's bytes to a network's input, a batch at a time."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from nodepath.data import Dataset, prepare, random_crop, random_flip, resize, to_channels
from nodepath.errors import ArgumentError
from nodepath.train.recipe import Recipe

__all__ = ["Preparation"]


@dataclass(frozen=True)
class Preparation:
    """How images become input: stretched and given channels as bytes, augmented as bytes, then normalised.

    A batch at a time, so that the data set stays small in memory whatever size the network wants.

    Attributes:
        input_size: (channels, height, width) of the network's input.
        mean: Per channel of the input, as fractions of 255.
        std: Likewise.
        padding: Largest random shift in pixels of the stretched image.
        flip: Whether train images are mirrored at random.
    """

    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    padding: int = 0
    flip: bool = False

    @classmethod
    def of(
        cls, dataset: Dataset, input_size: tuple[int, int, int] | None = None, recipe: Recipe | None = None
    ) -> "Preparation":
        """The preparation of a data set for a network.

        Args:
            dataset: Gives mean and standard deviation, and says whether flips keep the class.
            input_size: What the network takes; None: the images as they are.
            recipe: Gives the augmentation; None: none.

        Raises:
            DataError: The images cannot be given that number of channels.
            ArgumentError: Not three whole numbers >= 1.
        """
        size = (dataset.channels, *dataset.image_size) if input_size is None else tuple(input_size)
        if len(size) != 3 or min(size) < 1:
            raise ArgumentError(f"input size is {size}; give channels, height and width, each at least 1")
        channels, height, width = size
        to_channels(dataset.train.images[:1], channels)  # now rather than after minutes of pruning
        repeats = channels // dataset.channels
        padding, flip = 0, False
        if recipe is not None:
            padding = round(recipe.crop * min(height, width))
            flip = dataset.flips if recipe.flip is None else recipe.flip
        return cls((channels, height, width), dataset.mean * repeats, dataset.std * repeats, padding, flip)

    def plain(self, images: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Network input without augmentation.

        Args:
            images: uint8, shape (B, channels of the data, H, W).
            device: Where the work is done and the result stays.

        Returns:
            float32, shape (B, *input_size).
        """
        return prepare(self._fitted(images, device), self.mean, self.std)

    def augmented(self, images: Tensor, device: torch.device | str, generator: Generator) -> Tensor:
        """Network input, each image shifted and mirrored at random; arguments as in `plain`."""
        bytes_ = self._fitted(images, device)
        if self.padding:
            bytes_ = random_crop(bytes_, self.padding, generator)
        if self.flip:
            bytes_ = random_flip(bytes_, generator)
        return prepare(bytes_, self.mean, self.std)

    def _fitted(self, images: Tensor, device: torch.device | str) -> Tensor:
        channels, *sides = self.input_size
        return to_channels(resize(images.to(device), (sides[0], sides[1])), channels)
