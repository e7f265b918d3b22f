"""Re-initialised weights: the same mask on other draws of the same distribution."""

import copy
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

from nodepath.methods.arguments import check_seed
from nodepath.models.seeding import seeded

__all__ = ["reinitialize"]

M = TypeVar("M", bound=nn.Module)


def reinitialize(model: M, seed: int = 0) -> M:
    """A copy of a model whose Linear, convolution and attention weights are drawn anew.

    Each weight is normal with the mean and the standard deviation of the layer's present weights, so at initialization
    with those of its initialiser, whichever that was. The in-projections of `nn.MultiheadAttention` to queries, keys
    and values are layers of their own. Biases, norms, embeddings and buffers are as before.

    Args:
        model: At initialization; left as it was.
        seed: Of the draws.

    Returns:
        The copy, on the same device.

    Raises:
        ArgumentError: The seed is no whole number in [0, 2**63).

    Reference:
        Frankle, Dziugaite, Roy, Carbin. Pruning neural networks at initialization: why are we missing the mark?
        ICLR 2021. arXiv:2009.08576.
    """
    seed = check_seed(seed)
    drawn = copy.deepcopy(model)
    with seeded(seed), torch.no_grad():
        for weight, parts in {id(weight): (weight, parts) for weight, parts in _weights(drawn)}.values():
            for layer in weight.chunk(parts):
                present = layer.double()
                fresh = torch.randn(layer.shape, dtype=torch.float64).to(layer.device)
                layer.copy_(present.mean() + present.std(correction=0) * fresh)
    return drawn


def _weights(model: nn.Module) -> Iterator[tuple[Tensor, int]]:
    """Each weight, and how many layers are stacked in it."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            yield module.weight, 1
        elif isinstance(module, nn.MultiheadAttention):
            if module.in_proj_weight is not None:
                yield module.in_proj_weight, 3
            else:
                yield from (
                    (weight, 1) for weight in (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
                )
