"""What is thinned: weights in one piece of memory, and the sweep that tells what flows through each of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nodepath.methods.flow.threshold import Places
from nodepath.paths.replay.sweep import Sweep

__all__ = ["Placed", "Weights", "in_order"]


class Placed(Protocol):
    """Where the weights of a layer are."""

    def filled(self, values: Tensor) -> Tensor:
        """One value a weight of the layer, of the parameter's shape, from those of the weights that are held.

        Args:
            values: Of these, zeros for the others.
        """
        ...


class Weights(Protocol):
    """Weights that become fewer.

    Attributes:
        sweep: Of the network that they make.
    """

    sweep: Sweep

    @property
    def held(self) -> Tensor:
        """Their mantissas, layer by layer (weights,); 0: dropped."""
        ...

    @property
    def shares(self) -> Tensor:
        """Of all paths, through each weight, after a run (weights,)."""
        ...

    def run(self) -> None:
        """Find out what flows."""
        ...

    def part(self, name: str) -> slice:
        """Where the weights of a layer are."""
        ...

    def placed(self, name: str) -> Placed:
        """The same, to be kept while others go."""
        ...

    def in_order(self, names: Sequence[str], places: Places, threshold: float) -> NDArray[np.intp]:
        """The order in which weights whose shares are close to a threshold are dropped.

        Args:
            names: Of layers that lie side by side.
            places: Of the weights, counted from the first of these layers.
            threshold: The share.
        """
        ...

    def forget(self, alive: int, left: Callable[[], Mapping[str, int]], steps: int) -> bool:
        """Forget what carries no flow, if that is worth it.

        Args:
            alive: How many weights there are.
            left: Gives, for the layers of which some weights have been dropped, how many there are.
            steps: How many are to come.

        Returns:
            Whether weights lie elsewhere now.
        """
        ...


def in_order(exact: NDArray[np.float64], positions: Places, layers: Places, threshold: float) -> NDArray[np.intp]:
    """Smaller shares first; of those that are equal to 12 digits, the last in the order of layers and positions."""
    return np.lexsort((-positions, -layers, np.round(exact / threshold, 12)))
