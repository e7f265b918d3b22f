"""Statistics of activations: what others are divided by."""

from typing import Any

import torch
from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.signal import Role
from nodepath.paths.table import register


@register("norm", "var", "std", "logsumexp", torch.linalg.norm, torch.linalg.vector_norm)
def statistic(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """It depends on all that it is taken over, and steers."""
    made = call.function(torch.empty(call.signal(input).shape, device="meta"), *args, **kwargs)
    return _gathered(call, input, made, Role.STEERING)


@register("var_mean", "std_mean")
def statistics(call: Call, input: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """The spread steers, the mean does not."""
    made = call.function(torch.empty(call.signal(input).shape, device="meta"), *args, **kwargs)
    return _gathered(call, input, made[0], Role.STEERING), _gathered(call, input, made[1], Role.VALUE)


def _gathered(call: Call, input: Tensor, made: Tensor, role: Role) -> Tensor:
    """Sums over the axes that `made` has lost; where none can be told to be lost, over all."""
    signal = call.signal(input)
    lost = [axis for axis in range(signal.counts.ndim) if made.ndim == signal.counts.ndim and made.shape[axis] == 1]
    if made.ndim == signal.counts.ndim:
        counts = signal.counts.sum(lost, keepdim=True) if lost else signal.counts
    else:
        counts = signal.counts.sum().expand([1] * made.ndim if call.folds else made.shape)
    return call.emit(*call.settle(counts, signal.exponent), shape=made.shape, role=role, silent=False)
