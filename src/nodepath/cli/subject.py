"""From what the user typed to a model, an example input and a score batch."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nodepath import data
from nodepath.cli.options import size_from
from nodepath.data import Dataset
from nodepath.masks import MaskSet
from nodepath.methods import needs_batch
from nodepath.models import load_weights_
from nodepath.runs import network_for, score_batch_for
from nodepath.runs.network import Size
from nodepath.train import Preparation
from nodepath.train.fit import torch_device

__all__ = ["Subject"]


@dataclass(frozen=True)
class Subject:
    """A model that the user named, ready to be pruned or measured.

    Attributes:
        name: As typed.
        model: The model, on its device.
        x: Example input, zeros.
        size: Its channels, height and width.
        dataset: Its data, or None.
        seed: Of the weights.
    """

    name: str
    model: nn.Module
    x: Tensor
    size: Size
    dataset: Dataset | None
    seed: int

    @classmethod
    def of(
        cls,
        name: str,
        *,
        input: str | None,
        num_classes: int | None,
        seed: int,
        device: str = "cpu",
        weights: str | None = None,
        data_name: str | None = None,
        label_column: str | None = None,
    ) -> "Subject":
        """Build the model; channels and classes come from the data if there are any.

        Raises:
            NodepathError: Whatever is wrong with a name, a size or a file, each by its own kind.
        """
        place = torch_device(device)
        size = size_from(input)
        dataset = None if data_name is None else data.load(data_name, label_column=label_column)
        model, shape = network_for(name, dataset=dataset, input=size, num_classes=num_classes, seed=seed)
        if weights is not None:
            load_weights_(model, weights)
        return cls(name, model.to(place), torch.zeros(1, *shape, device=place), shape, dataset, seed)

    def batch_for(self, method: str, seed: int, **options: Any) -> tuple[Tensor, Tensor] | None:
        """The score batch, if the method needs one and there are data: 10 images a class, without augmentation."""
        if self.dataset is None or not needs_batch(method, **options):
            return None
        preparation = Preparation.of(self.dataset, self.size)
        return score_batch_for(self.dataset, preparation, seed=seed, device=self.x.device)

    def load_masks(self, path: str | None) -> MaskSet | None:
        """Masks of a file, or None."""
        return None if path is None else MaskSet.load(path)
