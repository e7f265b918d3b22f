"""Re-initialised weights: the same mask on other draws of the same distribution."""

import copy
from typing import TypeVar

import torch
from torch import nn

from nodepath.models.seeding import seeded

__all__ = ["reinitialize"]

M = TypeVar("M", bound=nn.Module)


def reinitialize(model: M, seed: int = 0) -> M:
    """A copy of a model whose Linear and convolution weights are drawn anew.

    Each weight is normal with the mean and the standard deviation of the layer's present weights, so at initialization
    with those of its initialiser, whichever that was. Biases, norms, embeddings and buffers are as before.

    Args:
        model: At initialization; left as it was.
        seed: Of the draws.

    Returns:
        The copy, on the same device.

    Reference:
        Frankle, Dziugaite, Roy, Carbin. Pruning neural networks at initialization: why are we missing the mark?
        ICLR 2021. arXiv:2009.08576.
    """
    drawn = copy.deepcopy(model)
    owners = [m for m in drawn.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
    with seeded(seed), torch.no_grad():
        for weight in {id(owner.weight): owner.weight for owner in owners}.values():
            present = weight.double()
            fresh = torch.randn(weight.shape, dtype=torch.float64).to(weight.device)
            weight.copy_(present.mean() + present.std(correction=0) * fresh)
    return drawn
