"""npb-even: weights spread evenly over a chosen share of the channels."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nodepath.budgets import BUDGETS
from nodepath.errors import ArgumentError, BudgetWarning
from nodepath.masks import count_true
from nodepath.methods.even.design import PATHS, Design, Designer
from nodepath.methods.even.layer import Cover, even_layer
from nodepath.methods.even.living import Width, check_width
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.methods.respend import respend
from nodepath.options import is_number
from nodepath.registry import nearest

__all__ = ["EvenNodePathBalancing", "drawn"]


@METHODS.register("npb-even")
@dataclass(frozen=True, kw_only=True)
class EvenNodePathBalancing:
    r"""Node-path balancing without hubs: weights spread evenly over a chosen share of the channels.

    Which channels live is chosen by groups that residual adds, gates, concats and depthwise layers tie together; each
    layer gets its budget on the living part; and in it in-degrees and out-degrees are as equal as can be. In a chain of
    such layers of $e_l$ weights and $n_l$ living channels

    $$ \log P = \textstyle\sum_l \log e_l - \sum_l \log n_l + const $$

    so one number, the width, trades nodes for paths one to one, from path-rich to node-rich, and for a given width
    nothing has more paths without hubs. Every kept weight lies on a path. Queries, keys and gates, which carry no
    paths, keep the share of their layer that ERK would give it, as evenly.

    Args:
        width: The share of the channels that live, in (0, 1]: of all; or one a group in the order of use; or by
            patterns (`fnmatch`) of the names of the layers that write a group, where the first that fits counts and
            others live whole. "auto": the widest whose living part keeps at least `fill` of its weights.
        fill: Of width "auto": how dense the living part is. 0.05 trained best, or within noise of it, on two networks
            and at four sparsities (docs/balancing.md).
        taper: How the number of living channels grows with the size C of a group, as $C^{taper}$ until all live, where
            `width` is one number: 1: the same share of each; 0: the same number.
        budget: How many weights each layer keeps. "paths": such that one more would bring as many paths in each, but
            enough for every living channel; or the name of a budget ("erk"), on layers of living channels alone.

    The network's own inputs and outputs all live; where the weights do not suffice, inputs go unread first. A width
    whose channels cannot hold the budget, or need more than it to lie on paths, yields, with a `BudgetWarning`; where
    the weights of each layer are given, the groups beside layers that cannot hold theirs.

    Cost: about ten walks through the model in which a layer costs as much as it has channels, one draw a kernel, and
    two boolean passes. Needs data: no.

    Reference:
        Ours. Even degrees as in expanders (Prabhu et al., arXiv:1711.08757) and constant fan-in (Lasby et al.,
        arXiv:2305.02299); width at a fixed number of weights: Golubeva et al., arXiv:2010.14495.
    """

    width: Width | Literal["auto"] = "auto"
    fill: float = 0.05
    taper: float = 1.0
    budget: str = PATHS

    def __post_init__(self) -> None:
        if isinstance(self.width, str) and self.width != "auto":
            raise ArgumentError(f"width is '{self.width}'; pass a share of the channels in (0, 1], shares, or 'auto'")
        if not isinstance(self.width, str):
            check_width(self.width)
        if not isinstance(self.budget, str) or self.budget not in (PATHS, *BUDGETS):
            raise ArgumentError(f"unknown budget '{self.budget}'; {nearest(str(self.budget), [PATHS, *BUDGETS])}")
        for name, least, most in (("fill", 0, 1), ("taper", -4, 4)):
            value = getattr(self, name)
            if not is_number(value) or not least <= float(value) <= most:
                raise ArgumentError(f"{name} is {value!r}; npb-even needs a number from {least} to {most}")

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        by_layer = problem.counts is not None or problem.scope not in (None, "global")
        counts = problem.layer_counts() if by_layer else None
        designer = Designer(problem.network, problem.included, problem.keep, problem.generator, self.budget, counts)
        design = designer.design(self.living_counts(designer))
        masks = drawn(design, designer)
        return Choice(respend(problem.network, masks, problem.generator, nodes_first=False, by_layer=by_layer))

    def living_counts(self, designer: Designer) -> list[int]:
        """How many channels of each group live.

        Args:
            designer: Of the network and the budget.

        Warns:
            BudgetWarning: The width asked for does not go with the budget.
        """
        if not isinstance(self.width, str):
            return _fitting(designer, designer.groups.counts(self.width, self.taper))
        every = designer.groups.counts(1.0)

        def fits(counts: Sequence[int]) -> bool:
            return designer.need(counts) <= designer.keep >= self.fill * designer.room(counts)

        if fits(every):
            return every
        narrow = _narrowed(designer, fits, self.taper)
        if designer.counts is not None:
            return designer.widened(narrow)
        if designer.room(narrow) >= designer.keep:
            return narrow
        return designer.widest(lambda some: designer.room(some) >= designer.keep, narrow, wider=True)


def _narrowed(designer: Designer, fits: Callable[[Sequence[int]], bool], taper: float) -> list[int]:
    """The widest counts that fit."""
    low, high = 0.0, 1.0
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(designer.groups.counts(middle, taper)) else (low, middle)
        if low > 0 and designer.groups.counts(low, taper) == designer.groups.counts(high, taper):
            break
    return designer.groups.counts(max(low, 1e-9), taper)


def _fitting(designer: Designer, wanted: list[int]) -> list[int]:
    """The channels asked for, or more or fewer where the budget leaves no choice."""
    way_out = "choose another width or sparsity"
    if designer.counts is not None and (lacking := designer.lacking(wanted)):
        name, room = next(iter(lacking.items()))
        counts = designer.widened(wanted)
        why = f"hold {room} of the {designer.counts[name]} weights that {name} is to keep, so more live"
        way_out = "choose another width, or other counts"
    elif designer.counts is None and designer.room(wanted) < designer.keep:
        counts = designer.widest(lambda some: designer.room(some) >= designer.keep, wanted, wider=True)
        why = f"hold {designer.room(wanted)} of {designer.keep} weights, so more live"
    elif designer.need(wanted) > designer.keep:
        counts = designer.widened(
            designer.widest(lambda some: designer.need(some) <= designer.keep, wanted, wider=False)
        )
        why = f"need {designer.need(wanted)} weights to lie on paths, more than {designer.keep}, so fewer live"
    else:
        return wanted
    if counts != wanted:
        warnings.warn(
            f"npb-even: {sum(wanted)} living channels {why}: {sum(counts)}; {way_out}",
            BudgetWarning,
            stacklevel=2,
        )
    return counts


def drawn(design: Design, designer: Designer) -> dict[str, Tensor]:
    """Masks of all included layers, with exactly the budget, and of each layer where its weights are given.

    Args:
        design: How many weights lie between which channels.
        designer: Whose design it is; its generator draws.
    """
    network = designer.network
    cover = Cover(*(torch.zeros(designer.groups.channels.number, dtype=torch.int64) for _ in range(2)))
    masks = {
        name: torch.zeros(layer.shape, dtype=torch.bool)
        for name, layer in network.layers.items()
        if name in designer.included
    }
    for share in design.shares:
        name, row = share.block.part
        mask = even_layer(share.block, share.number, share.cells, cover, designer.generator)
        if len(mask) < len(masks[name]):
            masks[name][row : row + len(mask)] |= mask
        else:
            masks[name] |= mask
    # more than can carry a path; `respend` finds them a place, if there is one
    missing = designer.keep - sum(map(count_true, masks.values()))
    for name, mask in masks.items():
        if designer.counts is not None:
            missing = designer.counts[name] - count_true(mask)
        free = (~mask.view(-1)).nonzero().flatten()[: max(0, missing)]
        mask.view(-1)[free] = True
        missing -= len(free)
    return {name: mask.to(network.device) for name, mask in masks.items()}
