"""Divide labels so that each class has the same share on both sides, without chance."""

import torch
from torch import Tensor

__all__ = ["every_nth_of_each_class"]


def every_nth_of_each_class(labels: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Positions of all but every n-th image of each class, and of every n-th.

    Args:
        labels: int64, shape (N,).
        n: A class with k images gives floor(k / n) to the second part.

    Returns:
        Two int64 tensors, ascending, that together are 0 .. N - 1. They depend on `labels` alone.
    """
    rank = torch.empty_like(labels)
    for label in torch.unique(labels):
        members = labels == label
        rank[members] = torch.arange(int(members.sum()))
    taken = rank % n == n - 1
    return (~taken).nonzero().flatten(), taken.nonzero().flatten()
