"""Where a forward pass uses a weight."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

__all__ = ["Site", "Weigh"]


@dataclass(frozen=True)
class Site:
    """One use of a weight by a forward pass.

    Attributes:
        name: The weight's parameter name, or None for a fixed filter or a weight tied to an embedding.
        weight: The model's own tensor.
        groups: Groups of a convolution; 1 for a linear layer.
        transposed: The weight's axes are (in, out / groups, *kernel).
        linear: A matrix on the last axis, not a convolution.
        positions: At how many places each weight is used: output positions, or input positions if transposed.
        reads: What its input channels are in the network's inputs, if no prunable layer lies between: pairs of a
            source's number and the axis of that source, None where each unit is a channel. Empty otherwise.
    """

    name: str | None
    weight: Tensor
    groups: int
    transposed: bool
    linear: bool
    positions: int
    reads: tuple[tuple[int, int | None], ...]


class Weigh(Protocol):
    """Gives the edges of a layer when the signal reaches it."""

    def __call__(self, site: Site, counts: Tensor, spread: Callable[[Tensor], Tensor]) -> Tensor:
        """Edges of the weight's shape.

        Args:
            site: Where.
            counts: The mantissas that arrive.
            spread: Applies edges to `counts`.
        """
