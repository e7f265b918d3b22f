"""Weights that lie on no path are spent again where they do."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from nodepath.errors import BudgetWarning
from nodepath.methods.selection import keep_best, keep_best_by_layer
from nodepath.paths import Network
from nodepath.paths.reach import openings, reach

__all__ = ["respend"]

Masks = dict[str, Tensor]


def respend(
    network: Network,
    masks: Mapping[str, Tensor],
    generator: torch.Generator,
    *,
    nodes_first: bool = True,
    by_layer: bool = False,
) -> Masks:
    """Move kept weights that lie on no path to where they do, until all lie on one; the total stays.

    *Bridges* are places where one weight more gives a path to weights that have none: they bring dead channels back.
    *Places* lie beside what lives: each layer fills its own, fullest kernels first, which moves the fewest nodes; what
    it has no place for goes to the other layers. At random among equals.

    Args:
        network: The network.
        masks: Parameter name -> bool; what it does not name is dense.
        generator: For the draws among equals; on the CPU.
        nodes_first: Bridges before places, or after them.
        by_layer: Every layer keeps its count: places in the same layer, no bridges.

    Returns:
        Masks with the same number of kept weights.

    Cost: a few boolean passes a round; each round ends with fewer weights on no path.

    Warns:
        BudgetWarning: There are kept weights on no path, and no place where a single one would lie on one.
    """
    masks = dict(masks)
    keep = _count(masks)
    live = _live(network, masks)
    moves = [_bridged, _moved] if nodes_first else [_moved, _bridged]
    if by_layer:
        moves = [_moved_within]
    while _count(live) < keep:
        better = next(filter(None, (move(network, masks, live, generator) for move in moves)), None)
        if better is None:
            warnings.warn(
                f"{keep - _count(live)} of {keep} kept weights lie on no path, and no single weight would elsewhere; "
                "they are kept without effect",
                BudgetWarning,
                stacklevel=2,
            )
            return masks
        live = _live(network, better)
        masks = _filled(live, masks, by_layer=by_layer)
    return live


def _bridged(network: Network, masks: Masks, live: Masks, generator: torch.Generator) -> Masks | None:
    """Masks with as many bridges as leave the living within the budget; None if no bridge helps."""
    keep, alive = _count(masks), _count(live)
    around, beside = openings(network, masks), openings(network, live)
    bridges = {name: around[name] & ~beside[name] & ~mask for name, mask in masks.items()}
    wish = {name: _draws(bridge, generator).masked_fill(~bridge, -torch.inf) for name, bridge in bridges.items()}
    number = min(_count(bridges), max(1, (keep - alive) // 2))
    while number:
        more = keep_best(wish, number)
        bridged = {name: mask | more[name] for name, mask in masks.items()}
        if alive < _count(_live(network, bridged)) <= keep:
            return bridged
        number //= 2
    return None


def _moved(network: Network, masks: Masks, live: Masks, generator: torch.Generator) -> Masks | None:
    """The living, and the dead where they would live; None if there is no place."""
    places, moving = _within(network, masks, live)
    spare = _count(masks) - _count(live) - sum(moving.values())
    free = {name: int(place.sum()) - moving[name] for name, place in places.items()}
    for name in sorted(masks, key=lambda name: -free[name]):
        more = min(spare, free[name])
        moving[name] += more
        spare -= more
    return _placed(network, live, places, moving, generator)


def _moved_within(network: Network, masks: Masks, live: Masks, generator: torch.Generator) -> Masks | None:
    """The living, and the dead where they would live in their own layer; None if there is no place."""
    return _placed(network, live, *_within(network, masks, live), generator)


def _within(network: Network, masks: Masks, live: Masks) -> tuple[Masks, dict[str, int]]:
    """The places, and how many of each layer's own dead they can take."""
    places = {name: opening & ~live[name] for name, opening in openings(network, live).items() if name in live}
    dead = {name: int(mask.sum()) - int(live[name].sum()) for name, mask in masks.items()}
    return places, {name: min(dead[name], int(places[name].sum())) for name in masks}


def _placed(
    network: Network, live: Masks, places: Masks, moving: Mapping[str, int], generator: torch.Generator
) -> Masks | None:
    if not any(moving.values()):
        return None
    wish = {}
    for name, mask in live.items():
        layer = network.layers[name]
        kernels = layer.kernels(mask.double())
        fullness = layer.weights(kernels.sum(dim=3, keepdim=True).expand_as(kernels))
        wish[name] = (fullness + _draws(mask, generator)).masked_fill(~places[name], -torch.inf)
    added = keep_best_by_layer(wish, moving)
    return {name: mask | added[name] for name, mask in live.items()}


def _filled(live: Masks, before: Masks, *, by_layer: bool) -> Masks:
    """The living and, up to the budget, those that were kept before, in order of position."""
    rest = {name: (before[name] & ~mask).double() for name, mask in live.items()}
    missing = {name: int(before[name].sum()) - int(mask.sum()) for name, mask in live.items()}
    more = keep_best_by_layer(rest, missing) if by_layer else keep_best(rest, sum(missing.values()))
    return {name: mask | more[name] for name, mask in live.items()}


def _live(network: Network, masks: Masks) -> Masks:
    live = reach(network, masks).weights
    return {name: live[name] for name in masks}


def _count(masks: Masks) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def _draws(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, dtype=torch.float64).to(like.device)
