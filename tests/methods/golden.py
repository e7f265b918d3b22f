"""ResNet-20 as the papers have it, and masks that several golden tests share."""

import warnings
from functools import cache
from typing import Any

import torch
from torch import nn

import nodepath
from nodepath.errors import CollapseWarning

SPARSITIES = {0.5: 1 - 10**-0.5, 1: 0.9, 1.5: 1 - 10**-1.5, 2: 0.99, 2.5: 1 - 10**-2.5}
"""c -> 1 - 10**-c, as in the papers: 68.38, 90, 96.84, 99 and 99.68 %."""

X = torch.zeros(1, 3, 32, 32)


@cache
def resnet20(seed: int) -> nn.Module:
    return nodepath.models.create("resnet20", num_classes=10, seed=seed)


@cache
def masks(method: str, c: float, seed: int, **options: Any) -> nodepath.MaskSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return nodepath.prune(
            resnet20(seed), X, method=method, sparsity=SPARSITIES[c], seed=seed, on_collapse="warn", **options
        )


def paper(chosen: nodepath.MaskSet) -> nodepath.Topology:
    return nodepath.measure(resnet20(0), X, chosen, convention="paper")
