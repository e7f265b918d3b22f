"""What is sent along the paths: numbers of paths, or the mere fact that there is one."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from nodepath.paths.conversion import as_numbers

__all__ = ["EXACT", "FLOW", "PAPER", "REACH", "Semantics"]


class _Saturate(torch.autograd.Function):
    """Whether anything arrives: 1 where the count is positive, forwards and backwards.

    Counts are sums of zeros and ones, so a half tells them apart whatever algorithm a convolution
    uses, and nothing can overflow or underflow.
    """

    @staticmethod
    def forward(_: Any, counts: Tensor) -> Tensor:
        return as_numbers(counts > 0.5, counts.dtype)

    @staticmethod
    def backward(_: Any, *slopes: Tensor) -> Tensor:
        return as_numbers(slopes[0] > 0.5, slopes[0].dtype)


@dataclass(frozen=True)
class Semantics:
    """How a network is read as a graph.

    Args:
        average: Average pooling adds up its window (every input is connected), or takes its mean.
        maximum: Max pooling adds up its window (every input is connected), or takes the largest count.
        boolean: Send reachability instead of numbers.
    """

    average: Literal["sum", "mean"]
    maximum: Literal["sum", "max"]
    boolean: bool = False

    def dtype(self, device: torch.device) -> torch.dtype:
        """float64 for numbers (float32 on MPS, which has no other), float32 for reachability."""
        return torch.float32 if self.boolean or device.type == "mps" else torch.float64

    def begin(self, ones: Tensor) -> Tensor:
        """What an input of the network sends, given ones of the shape of its counts."""
        return ones

    def join(self, left: Tensor, right: Tensor) -> Tensor:
        """What two branches carry on together."""
        return left + right

    def pair(self, left: Tensor, right: Tensor) -> None:
        """Two activations meet element by element, without a sum: a gate and what it steers, a query and a key."""

    def let_pass(self, factor: Tensor | None) -> None:
        """A control multiplies what it steers by this: 1 where it lets pass, 0 elsewhere; None: by 1 everywhere."""

    def settle(self, counts: Tensor, exponent: int) -> tuple[Tensor, int]:
        """Bring counts that an operation has made back into the number range, exactly.

        Scales by a power of two, and only when the largest leaves `2**-32 .. 2**32`: a factor for
        the whole tensor, so that merges can align it, unlike a factor for one branch of an add.
        """
        if self.boolean:
            return _Saturate.apply(counts), 0
        largest = counts.detach().amax().item() if counts.numel() else 0.0
        if largest == 0.0:
            return counts, 0
        shift = math.frexp(largest)[1]
        if -32 <= shift <= 32:
            return counts, exponent
        return counts * 2.0**-shift, exponent + shift


EXACT = Semantics(average="sum", maximum="sum")
"""Every path counts once; all inputs of a pooling window are connected to its output."""

PAPER = Semantics(average="sum", maximum="max")
"""As the papers' code counts: max pooling is a true maximum of the path map."""

FLOW = Semantics(average="mean", maximum="max")
"""The network itself, linearised, as SynFlow sends it: pooling as the model pools."""

REACH = Semantics(average="sum", maximum="sum", boolean=True)
"""Whether there is a path at all."""
