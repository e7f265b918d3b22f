"""Colours and shapes of the methods.

The colours are those of Okabe & Ito (2008), which colour-blind people tell apart, without black and yellow,
which vanish on a dark or a white page. There are 8 colours and 11 shapes, so that 88 pairs differ.
"""

from collections.abc import Sequence

__all__ = ["colours", "markers", "shapes"]

_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8f6bbf", "#8c8c8c")
_STAR = (
    "M0,-1L0.225,-0.309L0.951,-0.309L0.363,0.118L0.588,0.809L0,0.382L-0.588,0.809L-0.363,0.118L-0.951,-0.309"
    "L-0.225,-0.309Z"
)
_X = "M-0.9,-0.5L-0.5,-0.9L0,-0.4L0.5,-0.9L0.9,-0.5L0.4,0L0.9,0.5L0.5,0.9L0,0.4L-0.5,0.9L-0.9,0.5L-0.4,0Z"
_HEXAGON = "M0,-1L0.866,-0.5L0.866,0.5L0,1L-0.866,0.5L-0.866,-0.5Z"
# The name or path of each shape in Vega, and its marker in matplotlib.
_SHAPES = (
    ("circle", "o"),
    ("square", "s"),
    ("triangle-up", "^"),
    ("diamond", "D"),
    ("cross", "P"),
    ("triangle-down", "v"),
    (_STAR, "*"),
    (_X, "X"),
    ("triangle-left", "<"),
    ("triangle-right", ">"),
    (_HEXAGON, "h"),
)


def colours(methods: Sequence[str]) -> list[str]:
    """A colour for each method, as `#rrggbb`."""
    return [_COLOURS[index % len(_COLOURS)] for index in range(len(methods))]


def shapes(methods: Sequence[str]) -> list[str]:
    """A Vega symbol for each method: a name or an SVG path."""
    return [_SHAPES[index % len(_SHAPES)][0] for index in range(len(methods))]


def markers(methods: Sequence[str]) -> list[str]:
    """A matplotlib marker for each method, the same shapes."""
    return [_SHAPES[index % len(_SHAPES)][1] for index in range(len(methods))]
