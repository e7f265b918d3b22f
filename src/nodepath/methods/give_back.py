"""Give layers that a method emptied a weight on a path, and take as many elsewhere."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from nodepath.masks import count_true
from nodepath.methods.fewest import fewest
from nodepath.methods.kept import Masks, added, count, living, opened
from nodepath.methods.selection import top
from nodepath.paths import Network

__all__ = ["give_back"]


def give_back(
    network: Network, masks: Mapping[str, Tensor], ranking: Mapping[str, Tensor], emptied: Sequence[str]
) -> Masks | None:
    """Each emptied layer gets its best-scored weight that can lie on a path, or as many as one takes.

    Where other layers keep weights, but none that go on from there, they get their best-scored one that does. All of it
    is paid by the lowest kept of all whose loss leaves each layer a weight, and each that had a path one.

    Args:
        network: The network.
        masks: Parameter name -> bool.
        ranking: Parameter name -> score; what the method does not rank has -inf.
        emptied: Names of layers without a kept weight that lie on a path of the dense network.

    Returns:
        Masks of as many weights; None if the others cannot spare them.

    Cost: some ten walks for each emptied layer, more where it is cut off or packs values and what steers them, and for
    each weight that cannot be spared a few.
    """
    found = _joined(network, masks, ranking, emptied)
    lived = [name for name, live in living(network, masks).items() if bool(live.any())]
    return _paid(network, found, masks, ranking, [*emptied, *lived])


def _joined(
    network: Network, masks: Mapping[str, Tensor], ranking: Mapping[str, Tensor], emptied: Sequence[str]
) -> Masks:
    """With more weights, so that each emptied layer lies on a path.

    They are whole until it is their turn, so that what layers of one branch get is joined; what one gets late may leave
    what another got without a path, so all are looked at twice.
    """
    found = opened(masks, emptied)
    for name in emptied:
        found = _alive({**found, name: masks[name]}, network, ranking, name)
    for name in emptied:
        if not _lives(network, found, [name]):
            found = _alive(found, network, ranking, name)
    return found


def _alive(found: Masks, network: Network, ranking: Mapping[str, Tensor], name: str) -> Masks:
    """With the best weights of a layer, and of the fewest others, that bring it on a path."""
    others = [other for other in found if other != name]
    places = fewest(
        torch.arange(len(others)),
        lambda some: _lives(network, opened(found, [name, *(others[place] for place in some.tolist())]), [name]),
    )
    joints = [others[place] for place in places.tolist()]
    trial = opened(found, [name, *joints])
    for part in (name, *joints):
        live = living(network, trial)[part] & ~found[part]
        chosen = _best(ranking[part], live, lambda some: _lives(network, {**trial, part: found[part] | some}, [name]))  # noqa: B023
        trial[part] = found[part] | chosen
    return trial


def _paid(
    network: Network, found: Masks, masks: Mapping[str, Tensor], ranking: Mapping[str, Tensor], living: Sequence[str]
) -> Masks | None:
    """Without the lowest weights that can be spared, so that the total is that of the masks; None if too few can."""
    kept = [name for name, mask in found.items() if bool(mask.any())]
    held = {name: found[name] & ~mask for name, mask in masks.items()}  # what was given does not pay

    def spared(places: Sequence[tuple[str, int]]) -> Masks:
        left = {name: found[name].flatten().clone() for name, _ in places}
        for name, place in places:
            left[name][place] = False
        return found | {name: flat.reshape(found[name].shape) for name, flat in left.items()}

    def bearable(number: int) -> bool:
        left = spared(lowest[:number])
        return all(bool(left[name].any()) for name in kept) and _lives(network, left, living)

    while (missing := count(found) - count(masks)) > 0:
        lowest = list(_lowest({name: found[name] & ~held[name] for name in found}, ranking, missing))
        if not lowest:
            return None
        number = _last(bearable, len(lowest))
        found = spared(lowest[:number])
        for name, place in lowest[number : number + 1]:  # it cannot be spared
            held[name] = added(held[name], torch.tensor([place]))
    return found


def _lowest(masks: Masks, ranking: Mapping[str, Tensor], number: int) -> Iterator[tuple[str, int]]:
    """The lowest kept weights, layer and position, those last that have no rank."""
    offers: list[tuple[float, int, int]] = []
    names = list(masks)
    for index, name in enumerate(names):
        scores = ranking[name].double().flatten()
        scores = scores.masked_fill(scores == -math.inf, torch.finfo(torch.float64).max)
        lowest = top((-scores).masked_fill(~masks[name].flatten(), -math.inf), min(number, count_true(masks[name])))
        places = lowest.nonzero().flatten()
        offers += [(score, index, place) for score, place in zip(scores[places].tolist(), places.tolist(), strict=True)]
    for _, index, place in sorted(offers)[:number]:
        yield names[index], place


def _lives(network: Network, masks: Mapping[str, Tensor], names: Collection[str]) -> bool:
    live = living(network, masks)
    return all(bool(live[name].any()) for name in names)


def _best(scores: Tensor, among: Tensor, suffices: Callable[[Tensor], bool]) -> Tensor:
    """The best-scored of some weights that suffice: mostly one, more where only several do together.

    The shortest beginning of the ranking that suffices ends with a weight that has to be there; then the same again.
    """
    lowest = torch.finfo(torch.float64).min  # -inf is what was pruned before
    flat = scores.double().clamp(min=lowest).masked_fill(~among, -math.inf).flatten()
    chosen = torch.zeros_like(among)

    def first(number: int) -> Tensor:
        return chosen | top(flat, number).reshape(among.shape)

    size = count_true(among)
    while not suffices(chosen):
        most = next(some for some in (1 << power for power in range(63)) if some >= size or suffices(first(some)))
        number = 1 + _last(lambda some: not suffices(first(some)), min(most, size) - 1, most // 2)
        more = first(number) & ~first(number - 1)
        if not more.any():  # not even all of them suffice
            break
        chosen = chosen | more
    return chosen


def _last(holds: Callable[[int], bool], most: int, least: int = 0) -> int:
    """The largest number that something holds for, which holds for `least` and, once it fails, for no larger one."""
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if holds(middle) else (least, middle - 1)
    return least
