"""Layers that no path runs through are brought back; what lives elsewhere pays."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from nodepath.methods.fewest import fewest
from nodepath.methods.kept import Masks, added, count, living, opened, without_some
from nodepath.paths import Network
from nodepath.paths.layer import Layer

__all__ = ["dead_layers", "ways_back"]

_DRAWS = 6
"""So many sets of few weights that bring layers to life are drawn at most."""

_TRIES = 8
"""So often as many weights as are too many are drawn to give way together, before half as many are."""


def dead_layers(network: Network, alive: Mapping[str, Tensor]) -> list[str]:
    """Layers of which no weight lives though some would in the dense network, in order.

    Args:
        network: The network.
        alive: Parameter name -> bool: what lives; what it does not name is dense.

    Cost: a look at each layer; a walk where one is dead.
    """
    dead = [name for name, mask in alive.items() if not bool(mask.any())]
    if not dead:
        return dead
    dense = living(network, opened(alive, alive))
    return [name for name in dead if bool(dense[name].any())]


def ways_back(
    network: Network, alive: Mapping[str, Tensor], dead: Sequence[str], keep: int, generator: torch.Generator
) -> Iterator[Masks]:
    """Living weights, at most `keep`, in each layer that has some and in each dead one.

    First a *core* is found: few weights that alone give each of these layers a living one. Then the living come back
    but for as many as are too many, first those on which no others depend.

    Args:
        network: The network.
        alive: Parameter name -> bool: what lives.
        dead: See `dead_layers`.
        keep: The most weights to keep.
        generator: For the draws among equals; on the CPU.

    Yields:
        Masks, all of whose weights live, of a few draws; none if that would take too many.

    Cost: for a core two or three walks a layer, and where several weights of one are needed, about twice as many as
    binary digits in its size for each; then some for each weight that gives way.
    """
    wanted = [*dead, *(name for name, mask in alive.items() if bool(mask.any()))]
    for draw in range(_DRAWS if len(wanted) <= keep else 0):
        core = _core(network, alive, wanted, draw, generator)
        if count(core) <= keep:
            joined = {name: mask | core[name] for name, mask in alive.items()}
            yield _thinned(network, joined, core, keep, generator)


def _core(
    network: Network, alive: Mapping[str, Tensor], wanted: Collection[str], draw: int, generator: torch.Generator
) -> Masks:
    """Few weights that give each of some layers a living one.

    Layer after layer keeps as few as suffice while those after it are dense, with the input or the output first, since
    each may read, or write, what all others do. Layers of as many outputs prefer the same ones, since residual adds
    join these. The first draw prefers what lives to them.
    """
    ranks: dict[int, Tensor] = {}
    core = living(network, opened(alive, alive))

    def suffices(trial: Masks) -> bool:
        found = living(network, trial)
        return all(bool(found[name].any()) for name in wanted)

    def preferred(name: str) -> Tensor:
        layer, free = network.layers[name], living(network, core)[name].flatten().nonzero().flatten()
        if layer.outputs not in ranks:
            ranks[layer.outputs] = torch.randperm(layer.outputs, generator=generator)
        rank = _of_output(layer, ranks[layer.outputs].to(free.device))[free].double() / layer.outputs
        lives = alive[name].flatten()[free].double()
        wish = rank - 2 * lives if draw == 0 else rank - lives / (2 * layer.outputs)
        chance = torch.rand(len(free), generator=generator, dtype=torch.float64).to(free.device)
        return free[(wish + chance / (4 * layer.outputs)).argsort()]

    for name in [name for name in core if name not in wanted]:
        without = {**core, name: torch.zeros_like(core[name])}
        core = without if suffices(without) else core
    names = [name for name in core if bool(core[name].any())]
    for name in names if draw % 2 == 0 else reversed(names):
        none = torch.zeros_like(core[name])

        def enough(places: Tensor) -> bool:
            return suffices({**core, name: added(none, places)})  # noqa: B023

        places = preferred(name)
        first = places[:1]
        core[name] = added(none, first if enough(first) else fewest(places, enough))
    return living(network, core)


def _of_output(layer: Layer, values: Tensor) -> Tensor:
    """One value an output channel, for each weight of a flat layer."""
    kernels = layer.kernels(torch.empty(layer.shape, device="meta"))
    return layer.weights(values.reshape(layer.groups, -1, 1, 1).expand(kernels.shape)).flatten()


def _thinned(network: Network, masks: Masks, core: Masks, keep: int, generator: torch.Generator) -> Masks:
    """Living weights without as many as are too many, none of them of the core, so that all still live."""
    while (excess := count(masks) - keep) > 0:
        loose = {name: mask & ~core[name] for name, mask in masks.items()}
        masks = _fewer(network, masks, loose, excess, generator)
    return masks


def _fewer(network: Network, masks: Masks, loose: Masks, excess: int, generator: torch.Generator) -> Masks:
    """Masks without some of the loose, on which no others depend; if few tries find none, as few others as can be."""
    kept, size = count(masks), min(excess, count(loose))
    tried: list[Masks] = []
    while size:
        tried = []
        for some in torch.split(torch.randperm(count(loose), generator=generator), size)[:_TRIES]:
            fewer = living(network, without_some(masks, loose, some))
            if count(fewer) == kept - len(some):
                return fewer
            tried.append(fewer)
        size //= 2
    return max(tried, key=count)
