"""Give layers that a method emptied one weight each, on a path, and take as many elsewhere."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from nodepath.masks import count_true
from nodepath.methods.selection import top
from nodepath.paths import Network
from nodepath.paths.reach import reach

__all__ = ["give_back"]

_ROUNDS = 3
"""What is paid may cut a path that was just made; so often it is looked at again."""

Masks = dict[str, Tensor]


def give_back(
    network: Network, masks: Mapping[str, Tensor], ranking: Mapping[str, Tensor], emptied: Sequence[str]
) -> Masks:
    """Each emptied layer gets its best-scored weight that can lie on a path, as far as others can spare one.

    Where layers beside it keep weights, but none that go on from there, they get their best-scored one that does. All
    of it is taken from the lowest kept of all; no layer gives its last.

    Args:
        network: The network.
        masks: Parameter name -> bool.
        ranking: Parameter name -> score.
        emptied: Names of layers without a kept weight that lie on a path of the dense network.

    Cost: a walk for each emptied layer; where it is cut off, about log2 of the number of layers and of the size of the
    layer that cuts it off.
    """
    lived = [name for name, live in reach(network, masks).weights.items() if name in masks and bool(live.any())]
    targets, given = [*emptied, *lived], {name: torch.zeros_like(mask) for name, mask in masks.items()}
    found = dict(masks)
    for _ in range(_ROUNDS):
        live = reach(network, found).weights
        dead = [name for name in targets if not bool(live[name].any())]
        if not dead:
            break
        joined = _joined(network, found, ranking, dead, _spare(found, given))
        given = {name: given[name] | (joined[name] & ~mask) for name, mask in found.items()}
        number = sum(count_true(joined[name]) - count_true(mask) for name, mask in found.items())
        found = _without_lowest(joined, given, ranking, number)
    return found


def _spare(masks: Masks, given: Masks) -> int:
    """How many weights layers can give: all but what they got, and but one each."""
    return sum(max(0, count_true(mask) - max(1, count_true(given[name]))) for name, mask in masks.items())


def _joined(network: Network, masks: Masks, ranking: Mapping[str, Tensor], dead: Sequence[str], spare: int) -> Masks:
    """With more weights, at most as many as there are to spare, so that layers lie on paths, as many as can be.

    Empty layers are whole until it is their turn: so what layers of one branch get is joined.
    """
    found = dict(masks)
    for name in dead:
        found[name] = torch.ones_like(masks[name])
    for name in dead:
        trial = {**found, name: torch.ones_like(masks[name])}
        others = [other for other in masks if other != name]
        joints = _fewest(others, lambda opened: _lives(network, _opened(trial, opened), name))  # noqa: B023
        trial = _opened(trial, joints)
        live = reach(network, trial).weights[name]
        trial[name] = masks[name] | _first(ranking[name], live)
        for joint in joints:
            trial[joint] = found[joint] | _best(
                ranking[joint],
                ~found[joint],
                lambda some: _lives(network, {**trial, joint: found[joint] | some}, name),  # noqa: B023
            )
        more = sum(count_true(trial[each] & ~masks[each]) for each in (name, *joints))
        if not live.any() or more > spare:
            found[name] = masks[name]
            continue
        spare -= more
        found = trial
    return found


def _lives(network: Network, masks: Mapping[str, Tensor], name: str) -> bool:
    return bool(reach(network, masks).weights[name].any())


def _opened(masks: Masks, names: Collection[str]) -> Masks:
    return {name: torch.ones_like(mask) if name in names else mask for name, mask in masks.items()}


def _fewest(
    candidates: Sequence[str], suffices: Callable[[Collection[str]], bool], taken: Collection[str] = ()
) -> tuple[str, ...]:
    """Some of the candidates that suffice together with those taken, and of which none can be left out.

    By halves: QuickXplain (Junker, AAAI 2004), about 2 k log2(n / k) questions for k of n.
    """
    if not candidates or suffices(taken):
        return ()
    if len(candidates) == 1:
        return tuple(candidates)
    first, second = candidates[: len(candidates) // 2], candidates[len(candidates) // 2 :]
    later = _fewest(second, suffices, (*taken, *first))
    return (*_fewest(first, suffices, (*taken, *later)), *later)


def _first(scores: Tensor, among: Tensor) -> Tensor:
    """The best-scored of some weights alone."""
    lowest = torch.finfo(torch.float64).min  # -inf is what was pruned before
    return top(scores.double().clamp(min=lowest).masked_fill(~among, -math.inf).flatten(), 1).reshape(among.shape)


def _best(scores: Tensor, among: Tensor, suffices: Callable[[Tensor], bool]) -> Tensor:
    """The best-scored of some weights that suffices alone, where a path goes through one of them.

    The first prefix of the ranking that suffices ends with it.
    """
    lowest = torch.finfo(torch.float64).min
    flat = scores.double().clamp(min=lowest).masked_fill(~among, -math.inf).flatten()

    def prefix(number: int) -> Tensor:
        return top(flat, number).reshape(among.shape)

    low, high = 0, count_true(among)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(prefix(middle)) else (middle, high)
    return prefix(high) & ~prefix(high - 1) if high else torch.zeros_like(among)


def _without_lowest(masks: Masks, given: Masks, ranking: Mapping[str, Tensor], number: int) -> Masks:
    """Masks without so many of the lowest kept weights, but for given ones and the last of a layer.

    Cost: a look at all scores, and one at a layer for each weight.
    """
    found = dict(masks)

    def lowest(name: str) -> tuple[float, int]:
        free = found[name] & ~given[name]
        if count_true(found[name]) < 2 or not free.any():
            return math.inf, 0
        least, place = ranking[name].double().masked_fill(~free, math.inf).flatten().min(0)
        return float(least), int(place)

    offers = {name: lowest(name) for name in masks}
    for _ in range(number):
        name = min(offers, key=lambda name: offers[name][0])
        flat = found[name].flatten().clone()
        flat[offers[name][1]] = False
        found[name] = flat.reshape(found[name].shape)
        offers[name] = lowest(name)
    return found
