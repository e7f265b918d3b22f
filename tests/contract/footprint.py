"""Everything of a model, and of the process, that pruning must leave as it was."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def footprint(model: nn.Module) -> dict[str, Any]:
    """Compare two with `same`."""
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    return {
        "parameters": {n: (id(p), p.data_ptr(), p._version, p.detach().clone()) for n, p in parameters.items()},
        "buffers": {n: (id(b), b.clone()) for n, b in buffers.items()},
        "places": {
            n: [(k, id(t), type(t)) for held in (m._parameters, m._buffers) for k, t in held.items()]
            for n, m in model.named_modules()
        },
        "requires_grad": {n: p.requires_grad for n, p in parameters.items()},
        "grads": {n: (id(p.grad), None if p.grad is None else p.grad.clone()) for n, p in parameters.items()},
        "modes": {n: m.training for n, m in model.named_modules()},
        "hooks": {
            n: {k: list(v) for k, v in vars(m).items() if "hooks" in k and isinstance(v, dict)}
            for n, m in model.named_modules()
        },
        "tensor hooks": {
            n: [list(h) for h in (p._backward_hooks, p._post_accumulate_grad_hooks) if h] for n, p in parameters.items()
        },
        "attributes": {n: sorted(vars(m)) for n, m in model.named_modules()},
        "options": {
            n: {k: v for k, v in vars(m).items() if isinstance(v, int | float | str | bool | None)}
            for n, m in model.named_modules()
        },
        "torch random": torch.get_rng_state(),
        "numpy random": str(np.random.get_state()),
        "python random": random.getstate(),
        "grad enabled": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
    }


def same(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        return isinstance(after, Tensor) and torch.equal(before, after)
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(same(before[key], after[key]) for key in before)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(same, before, after))
    return bool(before == after)


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [what for what in before if not same(before[what], after[what])]
