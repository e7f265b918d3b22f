"""Weights that lie on no path are spent again where they do."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor

from nodepath.errors import BudgetWarning
from nodepath.masks import count_true
from nodepath.methods.every_layer import dead_layers, ways_back
from nodepath.methods.kept import Masks, added, count, living, with_some, without_some
from nodepath.methods.selection import top
from nodepath.paths import Network
from nodepath.paths.layer import Layer
from nodepath.paths.reach import openings

__all__ = ["respend"]

_TRIES = 64
"""So many weights are looked at for one that can give way."""


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
    it has no place for goes to the other layers. At random among equals. Where there is neither, weights are spent
    together on a path of their own. Layers that have died by then are brought back where the weights suffice for paths
    through all, see `ways_back`.

    Args:
        network: The network.
        masks: Parameter name -> bool; what it does not name is dense.
        generator: For the draws among equals; on the CPU.
        nodes_first: Bridges before places, or after them.
        by_layer: Every layer keeps its count: places in the same layer, no bridges.

    Returns:
        Masks with the same number of kept weights.

    Cost: a few boolean passes a round; each round ends with fewer weights on no path. More where a layer has died.

    Warns:
        BudgetWarning: There are kept weights on no path, and no place where they would lie on one.
    """
    done, live = _settled(network, dict(masks), generator, nodes_first=nodes_first, by_layer=by_layer)
    # at the end, since the moves may take a layer's last weights, and a way back can need more than were dead
    dead = [] if by_layer else dead_layers(network, live)
    while dead:
        best: tuple[Masks, Masks] | None = None
        for way in ways_back(network, live, dead, count(done), generator):
            found = _settled(network, _filled(way, done), generator, nodes_first=nodes_first)
            best = found if best is None else max(best, found, key=lambda some: count(some[1]))
            if count(best[1]) == count(done):
                break
        left = dead if best is None else dead_layers(network, best[1])
        if best is None or len(left) >= len(dead):
            break
        (done, live), dead = best, left
    if count(live) < count(done):
        warnings.warn(
            f"{count(done) - count(live)} of {count(done)} kept weights lie on no path, and would on none elsewhere; "
            "they stay without effect",
            BudgetWarning,
            stacklevel=2,
        )
    return done


def _settled(
    network: Network, masks: Masks, generator: torch.Generator, *, nodes_first: bool, by_layer: bool = False
) -> tuple[Masks, Masks]:
    """Masks with as many weights, of which those that lie on no path find no place, and what of them lives."""
    keep, live = count(masks), living(network, masks)
    moves = [_bridged, _moved, _woken] if nodes_first else [_moved, _bridged, _woken]
    if by_layer:
        moves = [_moved_within]
    while count(live) < keep:
        better = next(filter(None, (move(network, masks, live, generator) for move in moves)), None)
        if better is None:
            return masks, live
        live = living(network, better)
        masks = _filled(live, masks, by_layer=by_layer)
    return live, live


def _bridged(network: Network, masks: Masks, live: Masks, generator: torch.Generator) -> Masks | None:
    """Masks with as many bridges as leave the living within the budget; None if no bridge helps."""
    keep, alive = count(masks), count(live)
    around, beside = openings(network, masks), openings(network, live)
    bridges = {name: around[name] & ~beside[name] & ~mask for name, mask in masks.items()}
    drawn = torch.randperm(count(bridges), generator=generator)
    number = min(len(drawn), max(1, (keep - alive) // 2))
    while number:
        bridged = with_some(masks, bridges, drawn[:number].sort().values)
        if alive < count(living(network, bridged)) <= keep:
            return bridged
        number //= 2
    return None


def _woken(network: Network, masks: Masks, live: Masks, generator: torch.Generator) -> Masks | None:
    """The living, and a few weights that together make another path; None if there are too few for one.

    Of all that would lie on a path in the dense network, first whole layers and then half after half of each are left
    out, as long as the rest makes one. Where the dead are fewer than it needs, living ones give way on which no others
    depend.
    """
    alive, keep = count(live), count(masks)
    every = living(network, {name: torch.ones_like(mask) for name, mask in masks.items()})
    more = {name: _shuffled(every[name] & ~mask, generator) for name, mask in live.items()}

    def with_more(name: str, chosen: Tensor) -> Masks:
        return {other: added(live[other], chosen if other == name else more[other]) for other in live}

    def makes_one(name: str, chosen: Tensor) -> bool:
        return count(living(network, with_more(name, chosen))) > alive

    names = sorted(more, key=lambda name: -len(more[name]))
    if not makes_one(names[0], more[names[0]]):
        return None
    for name in names:
        if makes_one(name, more[name][:0]):
            more[name] = more[name][:0]
    for name in names:
        while len(more[name]) > 1:
            half = len(more[name]) // 2
            halves = more[name][:half], more[name][half:]
            smaller = next((part for part in halves if makes_one(name, part)), None)
            if smaller is None:
                break
            more[name] = smaller
    made = with_more(names[0], more[names[0]])
    for _ in range(count(made) - keep):
        fewer = _without_one(network, made, live, generator)
        if fewer is None:
            return None
        made = fewer
    return made


def _without_one(network: Network, masks: Masks, live: Masks, generator: torch.Generator) -> Masks | None:
    """Masks without one of the living, no layer's last, such that all others live; None if some tries find none."""
    number, layers = count(masks), _alive(masks)
    for place in torch.randperm(count(live), generator=generator)[:_TRIES]:
        fewer = without_some(masks, live, place.reshape(1))
        if count(fewer) == count(living(network, fewer)) == number - 1 and _alive(fewer) == layers:
            return fewer
    return None


def _alive(masks: Masks) -> list[str]:
    return [name for name, mask in masks.items() if bool(mask.any())]


def _shuffled(places: Tensor, generator: torch.Generator) -> Tensor:
    """The numbers of some places of a flat weight, in random order."""
    found = places.flatten().nonzero().flatten()
    return found[torch.randperm(len(found), generator=generator).to(found.device)]


def _moved(network: Network, masks: Masks, live: Masks, generator: torch.Generator) -> Masks | None:
    """The living, and the dead where they would live; None if there is no place."""
    places, moving = _within(network, masks, live)
    spare = count(masks) - count(live) - sum(moving.values())
    free = {name: count_true(place) - moving[name] for name, place in places.items()}
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
    dead = {name: count_true(mask) - count_true(live[name]) for name, mask in masks.items()}
    return places, {name: min(dead[name], count_true(places[name])) for name in masks}


def _placed(
    network: Network, live: Masks, places: Masks, moving: Mapping[str, int], generator: torch.Generator
) -> Masks | None:
    if not any(moving.values()):
        return None
    made = dict(live)
    for name, number in moving.items():
        if number:
            mask = live[name]
            free = places[name].flatten().nonzero().flatten()
            fullness = _fullness(network.layers[name], mask).flatten()[free]
            wish = fullness + torch.rand(len(free), generator=generator, dtype=torch.float64).to(free.device)
            made[name] = added(mask, free[top(wish, number)])
    return made


def _fullness(layer: Layer, mask: Tensor) -> Tensor:
    """Of each weight, how many its kernel keeps."""
    kernels = layer.kernels(mask)
    return layer.weights(kernels.sum(dim=3, keepdim=True).expand_as(kernels))


def _filled(live: Masks, before: Masks, *, by_layer: bool = False) -> Masks:
    """The living and, up to the budget, those that were kept before, in order of position."""
    made = dict(live)
    missing = count(before) - count(live)
    for name, mask in live.items():
        number = count_true(before[name]) - count_true(mask) if by_layer else missing
        rest = (before[name] & ~mask).flatten().nonzero().flatten()[: max(0, number)]
        missing -= len(rest)
        made[name] = added(mask, rest)
    return made
