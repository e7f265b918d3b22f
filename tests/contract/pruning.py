"""`nodepath.prune` as the contract calls it: data in reach of every method, collapse allowed, few iterations."""

import warnings
from typing import Any

from contract_networks import batch, build, example
from torch import nn

import nodepath
from nodepath.errors import BudgetWarning, CollapseWarning


def brief(name: str) -> dict[str, Any]:
    """Options that make an iterative method fast; none for the others."""
    method = nodepath.methods.create(name)
    short = {"iterations": 7, "steps": 7, "draws": 2}
    return {option: number for option, number in short.items() if hasattr(method, option)}


def pruned(name: str, kind: str, model: nn.Module | None = None, **arguments: Any) -> nodepath.MaskSet:
    wanted: dict[str, Any] = {"sparsity": 0.8, "on_collapse": "warn", "batch": batch(kind), **brief(name), **arguments}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        warnings.simplefilter("ignore", BudgetWarning)
        return nodepath.prune(build(kind) if model is None else model, example(kind), method=name, **wanted)
