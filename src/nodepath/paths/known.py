"""What is known of tensors, by their identity, as long as they live."""

import weakref
from typing import Generic, TypeVar

from torch import Tensor

__all__ = ["Known"]

V = TypeVar("V")


class Known(Generic[V]):
    """Maps tensors to values without keeping the tensors alive, and without asking them whether they are equal."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[weakref.ref[Tensor], V]] = {}

    def get(self, tensor: Tensor) -> V | None:
        """What is known of this very tensor, or None."""
        entry = self._held.get(id(tensor))
        # another tensor may lie where one has died
        return entry[1] if entry is not None and entry[0]() is tensor else None

    def __setitem__(self, tensor: Tensor, value: V) -> None:
        key, held = id(tensor), self._held

        def forget(reference: weakref.ref[Tensor]) -> None:
            if key in held and held[key][0] is reference:
                del held[key]

        held[key] = weakref.ref(tensor, forget), value
