"""The kept weights of all layers as one set: how many there are, which live, and some of them by number."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from nodepath.masks import count_true
from nodepath.paths import Network
from nodepath.paths.reach import reach

__all__ = ["Masks", "added", "count", "living", "opened", "with_some", "without_some"]

Masks = dict[str, Tensor]


def count(masks: Mapping[str, Tensor]) -> int:
    """How many weights are kept."""
    return sum(map(count_true, masks.values()))


def living(network: Network, masks: Mapping[str, Tensor]) -> Masks:
    """Those of the kept weights that lie on a path or steer one."""
    found = reach(network, masks).weights
    return {name: found[name] for name in masks}


def opened(masks: Mapping[str, Tensor], names: Collection[str]) -> Masks:
    """Masks with some layers whole."""
    return {name: torch.ones_like(mask) if name in names else mask for name, mask in masks.items()}


def added(mask: Tensor, places: Tensor) -> Tensor:
    """A mask with the places of these numbers.

    Args:
        mask: Bool.
        places: Numbers in the flat mask.
    """
    if not len(places):
        return mask
    made = mask.clone(memory_format=torch.contiguous_format)
    made.view(-1)[places] = True
    return made


def with_some(masks: Mapping[str, Tensor], more: Mapping[str, Tensor], which: Tensor) -> Masks:
    """Masks with some of others added.

    Args:
        masks: Parameter name -> bool.
        more: Parameter name -> bool.
        which: Numbers of those in `more`, counted over all layers in order.
    """
    made, before = dict(masks), 0
    for name, mask in more.items():
        number = count_true(mask)
        here = which[(which >= before) & (which < before + number)] - before
        before += number
        if len(here):
            made[name] = added(masks[name], mask.flatten().nonzero().flatten()[here.to(mask.device)])
    return made


def without_some(masks: Mapping[str, Tensor], among: Mapping[str, Tensor], which: Tensor) -> Masks:
    """Masks without some of others, by number as in `with_some`."""
    some = with_some({name: torch.zeros_like(mask) for name, mask in among.items()}, among, which)
    return {name: mask & ~some[name] for name, mask in masks.items()}
