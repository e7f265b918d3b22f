"""Bring masks into floating point without asking the system for memory each time.

Fresh memory of the size of a layer costs more than the conversion: each of its pages is a fault.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["converted", "scratch"]


class _Scratch(threading.local):
    """The memory of one thread, while a block of it is open."""

    held: dict[tuple[torch.dtype, torch.device], Tensor] | None = None


_SCRATCH = _Scratch()


@contextmanager
def scratch() -> Iterator[None]:
    """Reuse memory within this block; it is given back at the end of the outermost."""
    if _SCRATCH.held is not None:
        yield
        return
    _SCRATCH.held = {}
    try:
        yield
    finally:
        _SCRATCH.held = None


def converted(edges: Tensor, dtype: torch.dtype) -> Tensor:
    """Edges in another dtype, to be used before the next call.

    Args:
        edges: Any tensor; itself if the dtype is its own.
        dtype: Which.
    """
    held = _SCRATCH.held
    if edges.dtype == dtype or held is None or torch.is_grad_enabled() or edges.device.type == "meta":
        return edges.to(dtype)  # with gradients on, autograd might keep the result
    key, size = (dtype, edges.device), edges.numel()
    memory = held.get(key)
    if memory is None or memory.numel() < size:
        memory = held[key] = torch.empty(size, dtype=dtype, device=edges.device)
    return memory[:size].view(edges.shape).copy_(edges)
