"""Weights that lie on no path are spent again where they do."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from nodepath.errors import BudgetWarning
from nodepath.methods.selection import top
from nodepath.paths import Network
from nodepath.paths.flow import openings, reach

__all__ = ["respend"]


def respend(network: Network, masks: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Move every kept weight that lies on no path to a place where it does; the total stays.

    A place is free if a weight there would lie on a path. Each layer fills its own places first, its fullest kernels
    before others (which moves the fewest nodes), at random among equals; what it has no place for goes to the layers
    with the most places.

    Args:
        network: The network.
        masks: Parameter name -> bool; what it does not name is dense.
        generator: For the draws among equals; on the CPU.

    Returns:
        Masks with the same number of kept weights.

    Cost: two boolean passes a round, one round unless weights had no place.

    Warns:
        BudgetWarning: Fewer weights can lie on a path than the budget has; the rest stays where it was.
    """
    masks = dict(masks)
    while True:
        live = reach(network, masks).weights
        dead = {name: mask & ~live[name] for name, mask in masks.items()}
        homeless = {name: int(lost.sum()) for name, lost in dead.items()}
        if not sum(homeless.values()):
            return masks
        clean = {name: mask & live[name] for name, mask in masks.items()}
        places = {name: opening & ~clean[name] for name, opening in openings(network, clean).items() if name in clean}
        free = {name: int(place.sum()) for name, place in places.items()}
        if not sum(free.values()):
            warnings.warn(
                f"only {sum(int(m.sum()) for m in clean.values())} of {sum(int(m.sum()) for m in masks.values())} "
                "weights can lie on a path; the rest is kept without effect",
                BudgetWarning,
                stacklevel=2,
            )
            return masks
        moving = {name: min(homeless[name], free[name]) for name in masks}
        spare = sum(homeless.values()) - sum(moving.values())
        for name in sorted(masks, key=lambda name: moving[name] - free[name]):
            more = min(spare, free[name] - moving[name])
            moving[name] += more
            spare -= more
        for name, count in moving.items():
            layer = network.layers[name]
            fullness = layer.kernels(clean[name].double()).sum(dim=3, keepdim=True)
            draws = torch.rand(layer.shape, generator=generator, dtype=torch.float64).to(network.device)
            wish = layer.weights(fullness.expand_as(layer.kernels(draws))) + draws
            wish = wish.masked_fill(~places[name], -torch.inf)
            clean[name] |= top(wish.flatten(), count).reshape(layer.shape)
        if spare:  # keep the count: back to where they were, for the next round
            for name, lost in dead.items():
                back = min(spare, int((lost & ~clean[name]).sum()))
                clean[name] |= top((lost & ~clean[name]).flatten().float(), back).reshape(lost.shape)
                spare -= back
        masks = clean
