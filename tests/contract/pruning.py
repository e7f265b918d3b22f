"""`nodepath.prune` as the contract calls it: data in reach of every method, collapse allowed, few iterations."""

import warnings
from typing import Any

from contract_networks import batch, build, example
from torch import nn

import nodepath
from brief import brief
from nodepath.errors import BudgetWarning, CollapseWarning


def pruned(name: str, kind: str, model: nn.Module | None = None, **arguments: Any) -> nodepath.MaskSet:
    wanted: dict[str, Any] = {"sparsity": 0.8, "on_collapse": "warn", "batch": batch(kind), **brief(name), **arguments}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        warnings.simplefilter("ignore", BudgetWarning)
        return nodepath.prune(build(kind) if model is None else model, example(kind), method=name, **wanted)
