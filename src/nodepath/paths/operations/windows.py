"""What reads windows along an axis, one axis after the other."""

import torch
from torch import Tensor

__all__ = ["along", "window"]


def along(counts: Tensor, axis: int, reads: Tensor) -> Tensor:
    """Sums of what each output reads along one axis.

    Args:
        counts: (..., n, ...).
        axis: Which axis has the n entries.
        reads: (m, n), the weight with which output o reads input i.

    Returns:
        (..., m, ...).
    """
    return torch.matmul(counts.movedim(axis, -1), reads.to(counts).T).movedim(-1, axis)


def window(size: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Which inputs each output of a pooling window reads, 0 or 1: (outputs, size)."""
    reads = torch.zeros(outputs, size)
    for output in range(outputs):
        for cell in range(kernel):
            place = output * stride + cell * dilation - padding
            if 0 <= place < size:
                reads[output, place] = 1
    return reads
