"""Layerwise shuffle: the same layer densities, nothing else of the mask."""

from collections.abc import Mapping

import torch
from torch import Tensor

from nodepath.masks import MaskSet
from nodepath.methods.arguments import seeded

__all__ = ["shuffle"]


def shuffle(masks: Mapping[str, Tensor], seed: int = 0) -> MaskSet:
    """Permute each layer's mask at random, each layer by a permutation of its own.

    This is the random mask at the same layer counts: every set of that many weights of a layer is equally likely,
    whatever the mask was. For a random mask of the same total alone see `erk_random`.

    Args:
        masks: Parameter name -> bool.
        seed: Of the permutations. They do not depend on the order of the entries.

    Returns:
        Masks with the same kept count in every layer; `metadata["control"]` says how they were made.

    Raises:
        ArgumentError: The seed is no whole number in [0, 2**63).

    Reference:
        Su et al. Sanity-checking pruning methods: random tickets can win the jackpot. NeurIPS 2020. arXiv:2009.11094;
        Frankle et al. Pruning neural networks at initialization: why are we missing the mark? ICLR 2021.
        arXiv:2009.08576.
    """
    generator = seeded(seed)
    shuffled = {}
    for name in sorted(masks):
        mask = masks[name]
        order = torch.randperm(mask.numel(), generator=generator).to(mask.device)
        shuffled[name] = mask.flatten()[order].reshape(mask.shape)
    metadata = masks.metadata if isinstance(masks, MaskSet) else {}
    return MaskSet({name: shuffled[name] for name in masks}, {**metadata, "control": {"shuffle": int(seed)}})
