"""Rearrange an activation some of whose axes are folded: all along them are one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nodepath.paths.nested import replace_tensors

__all__ = ["rearranged"]


def rearranged(run: Callable[[Tensor], Any], counts: Tensor, shape: torch.Size, carry: Callable[..., Any]) -> Any:
    """What `run` makes of an activation that is `counts` with its folded axes at full length.

    Which element goes where is read off the elements' numbers, so any function that moves, copies or drops elements
    will do. An axis of the result is folded if all along it comes from the same counts; a merged one whose parts are
    folded and not folded is not.

    Args:
        run: Takes a tensor of shape `shape`.
        counts: Axes of length 1 where folded.
        shape: Of the activation.
        carry: Called with counts and shape of each tensor that `run` returns.

    Cost: of a rearrangement that copies, one of the whole activation; else none.
    """
    if counts.numel() == 1:
        return replace_tensors(
            run(counts.detach().expand(shape)),
            lambda made: carry(counts if made.ndim == counts.ndim else counts.reshape([1] * made.ndim), made.shape),
        )
    numbers = torch.arange(1, counts.numel() + 1, dtype=torch.float64, device=counts.device).reshape(counts.shape)
    memory = numbers.untyped_storage().data_ptr()

    def fold(moved: Tensor) -> Any:
        index = moved
        is_view = moved.untyped_storage().data_ptr() == memory
        for axis, size in enumerate(moved.shape):
            first = index.narrow(axis, 0, 1) if size else index
            if size > 1 and (moved.stride(axis) == 0 if is_view else bool((index == first).all())):
                index = first
        where = index.long()
        if where.shape == counts.shape and torch.equal(where, numbers.long()):
            return carry(counts, moved.shape)  # the very same, so that parts of a folded axis are known as one
        if where.numel() == counts.numel() and torch.equal(where.flatten(), numbers.flatten().long()):
            return carry(counts.reshape(where.shape), moved.shape)  # in the same order
        found = counts.flatten()[(where - 1).clamp(min=0)]
        return carry(found if is_view else found * (where > 0), moved.shape)

    return replace_tensors(run(numbers.expand(shape)), fold)
