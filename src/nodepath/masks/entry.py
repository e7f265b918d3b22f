"""What may be an entry of a mask set, and its size once it is one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nodepath.errors import MaskMismatchError

__all__ = ["LayerCount", "fraction_removed", "to_mask"]


def fraction_removed(kept: int, total: int) -> float:
    """The sparsity: `(total - kept) / total`; 0.0 where there is nothing to remove."""
    return (total - kept) / total if total else 0.0


@dataclass(frozen=True)
class LayerCount:
    """How much of one weight a mask keeps.

    Attributes:
        shape: Of the weight.
        kept: Number of weights whose mask is 1.
        total: Number of weights.
    """

    shape: tuple[int, ...]
    kept: int
    total: int

    @property
    def sparsity(self) -> float:
        """Fraction removed; 0.0 for a weight without elements."""
        return fraction_removed(self.kept, self.total)

    @property
    def density(self) -> float:
        """1 - sparsity."""
        return 1.0 - self.sparsity


def to_mask(name: str, tensor: Tensor) -> Tensor:
    """A contiguous bool copy, on the same device, that shares no memory with `tensor`.

    Args:
        name: Of the entry, for messages.
        tensor: bool, or of any other dtype with nothing but exact zeros and ones.

    Raises:
        MaskMismatchError: Not a dense tensor, or a value is neither 0 nor 1; names the entry.
    """
    if not isinstance(tensor, Tensor):
        raise MaskMismatchError(f"mask '{name}' is a {type(tensor).__name__}; give a torch tensor of 0 and 1")
    if tensor.layout != torch.strided:
        raise MaskMismatchError(f"mask '{name}' is a {tensor.layout} tensor; give a dense one, mask.to_dense()")
    tensor = tensor.detach()
    if tensor.dtype != torch.bool:
        other = (tensor != 0) & (tensor != 1)  # true for NaN too
        if other.any():
            raise MaskMismatchError(
                f"mask '{name}' holds {tensor[other][0].item()}, but a mask is 0 or 1; give a bool tensor, e.g. x != 0"
            )
    return tensor.to(torch.bool, copy=True, memory_format=torch.contiguous_format)
