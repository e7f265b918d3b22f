"""npb-even: weights spread evenly over a chosen share of the channels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from nodepath.budgets import BUDGETS, Erk, apportion
from nodepath.methods.even_budget import Plan, plan
from nodepath.methods.even_layer import Cover, even_layer
from nodepath.methods.living import Block, Groups
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.methods.respend import respend
from nodepath.paths.channels import channels
from nodepath.paths.reach import steering

__all__ = ["EvenNodePathBalancing"]


@METHODS.register("npb-even")
@dataclass(frozen=True, kw_only=True)
class EvenNodePathBalancing:
    width: float | Sequence[float] | Mapping[str, float] | Literal["auto"] = 0.5
    budget: str = "paths"
    taper: float = 1.0

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        network = problem.network
        groups = Groups(network, channels(network), problem.generator)
        shares = groups.shares(self.width)
        if self.taper != 1:
            import numpy as np
            C = np.array(groups.sizes, float)
            target = self.width * C.sum()
            lo, hi = 0., 1e6
            for _ in range(100):
                k = (lo+hi)/2
                n = np.minimum(C, k*C**self.taper)
                lo, hi = (k, hi) if n.sum() < target else (lo, k)
            shares = list(n/C)
        living = groups.living(groups.counts(shares))
        blocks = groups.blocks(living)
        steer = steering(network)
        alive = {b.part: b.outputs for b in blocks}
        if self.budget == "paths":
            p = plan(network, blocks, alive, problem.keep)
            numbers = p.numbers
        else:
            layers = [replace(b.layer, shape=(int(b.outputs.sum()), int(b.inputs.sum()) // b.layer.groups, *b.layer.shape[2:])) for b in blocks]
            c = BUDGETS[self.budget]()(layers, problem.keep)
            numbers = {b.part: c[b.part[0]] for b in blocks}
            p = plan(network, blocks, alive, problem.keep, numbers)
        caps = {b.part: b.pairs * int((p.cells[b.part] > 0).sum()) for b in blocks}
        counts = apportion(numbers, caps, problem.keep)
        cover = Cover(*(torch.zeros(groups.channels.number, dtype=torch.int64) for _ in range(2)))
        masks = {}
        for b in blocks:
            masks[b.part[0]] = even_layer(b, counts[b.part], p.cells[b.part], cover, problem.generator)
        return Choice(respend(network, masks, problem.generator, nodes_first=False))
