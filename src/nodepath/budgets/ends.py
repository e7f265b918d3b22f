"""The layers that budgets treat apart, told by their kind and by the order of use."""

from collections.abc import Sequence

from nodepath.paths.layer import Layer

__all__ = ["first_convolution", "last_linear"]


def first_convolution(layers: Sequence[Layer]) -> Layer | None:
    """The convolution that is used first; None if there is none.

    Args:
        layers: In the order of use.
    """
    return next((layer for layer in layers if not layer.linear), None)


def last_linear(layers: Sequence[Layer]) -> Layer | None:
    """The fully connected layer that is used last; None if there is none.

    Args:
        layers: In the order of use.
    """
    return next((layer for layer in reversed(layers) if layer.linear), None)
