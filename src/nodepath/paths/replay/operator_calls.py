"""Run a recorded operator on other counts."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from nodepath.paths.replay.recording import Ran, Value

__all__ = ["as_it_is"]

_ATEN = torch.ops.aten
_OF_ANY_MEMORY = {_ATEN.view.default: _ATEN.reshape.default, _ATEN._unsafe_view.default: _ATEN.reshape.default}
"""What does the same however the counts lie in memory, which may be otherwise than they did."""


def as_it_is(step: Ran, place: int) -> Callable[..., Tensor]:
    """The operator on counts as they lie in the walk; of what it makes, the result at that place."""
    order = {value: i for i, value in reversed(list(enumerate(step.reads)))}
    operator = _OF_ANY_MEMORY.get(step.operator, step.operator)

    def fill(argument: Any, counts: Sequence[Tensor]) -> Any:
        if isinstance(argument, Value):
            return counts[order[argument]]
        if isinstance(argument, tuple | list):
            return type(argument)(fill(each, counts) for each in argument)
        return argument

    def run(*counts: Tensor) -> Tensor:
        dtype = counts[0].dtype
        args = fill(step.args, counts)
        kwargs = {key: fill(each, counts) for key, each in step.kwargs.items()}
        args = tuple(_cast(each, dtype) for each in args)
        made = operator(*args, **{key: _cast(each, dtype) for key, each in kwargs.items()})
        result: Tensor = made[place] if isinstance(made, tuple | list) else made
        return result

    return run


def _cast(argument: Any, dtype: torch.dtype) -> Any:
    """Constants of the recording in the type of the counts."""
    if isinstance(argument, Tensor) and argument.is_floating_point():
        return argument.to(dtype)
    if isinstance(argument, list):
        return [_cast(each, dtype) for each in argument]
    return dtype if argument is torch.float32 else argument
