"""Functions that follow one another, as one: what lies between them need not be written down."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from torch import Tensor

from nodepath.paths.replay.steps import Free, Step

__all__ = ["fused"]


def fused(steps: Sequence[Step], outputs: Collection[int]) -> list[Step]:
    """Steps in which a function that one other function alone reads has become a part of that one.

    All are homogeneous in what they read together, so what they are made of is as well.

    Args:
        steps: In order.
        outputs: Numbers of the values that leave.
    """
    readers = Counter(number for step in steps for number in step.reads)
    by_function = {number for step in steps if isinstance(step, Free) for number in step.reads}
    inner = {number for number in by_function if readers[number] == 1}.difference(outputs)
    waiting: dict[int, Free] = {}
    made: list[Step] = []
    for step in steps:
        whole = _with_parts(step, waiting) if isinstance(step, Free) else step
        if isinstance(whole, Free) and whole.makes in inner:
            waiting[whole.makes] = whole
        else:
            made.append(whole)
    return made


class _Part(NamedTuple):
    """What one argument is made of: so many values, by a function, or the value itself."""

    reads: tuple[int, ...]
    run: Callable[..., Tensor] | None


def _with_parts(step: Free, waiting: dict[int, Free]) -> Free:
    """The step, with what waits for it."""
    if not any(number in waiting for number in step.reads):
        return step
    parts: list[_Part] = []
    for number in step.reads:
        part = waiting.pop(number, None)
        parts.append(_Part((number,), None) if part is None else _Part(part.reads, part.run))

    def run(*counts: Tensor) -> Tensor:
        left, arguments = iter(counts), []
        for part in parts:
            own = [next(left) for _ in part.reads]
            arguments.append(own[0] if part.run is None else part.run(*own))
        return step.run(*arguments)

    return Free(tuple(number for part in parts for number in part.reads), step.makes, run)
