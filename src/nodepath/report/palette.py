"""Colours and shapes of the methods.

The colours are those of Okabe & Ito (2008), which colour-blind people tell apart, without black and yellow,
which vanish on a dark or a white page. There are 8 colours and 11 shapes, so that 88 pairs differ.
"""

from collections.abc import Sequence

from nodepath.methods import names

__all__ = ["CIRCLE", "colours", "markers", "shapes"]

_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8f6bbf", "#8c8c8c")
# Each shape as an SVG path around the origin, for the charts and their legends, and its marker in matplotlib.
_SHAPES = (
    ("M0.9,0A0.9,0.9,0,1,1,-0.9,0A0.9,0.9,0,1,1,0.9,0Z", "o"),
    ("M-0.8,-0.8L0.8,-0.8L0.8,0.8L-0.8,0.8Z", "s"),
    ("M0,-1L1,0.75L-1,0.75Z", "^"),
    ("M0,-1.1L0.85,0L0,1.1L-0.85,0Z", "D"),
    (
        "M-0.35,-1L0.35,-1L0.35,-0.35L1,-0.35L1,0.35L0.35,0.35L0.35,1L-0.35,1L-0.35,0.35L-1,0.35L-1,-0.35L-0.35,-0.35Z",
        "P",
    ),
    ("M0,1L1,-0.75L-1,-0.75Z", "v"),
    (
        "M0,-1.1L0.25,-0.34L1.05,-0.34L0.4,0.13L0.65,0.89L0,0.42L-0.65,0.89L-0.4,0.13L-1.05,-0.34L-0.25,-0.34Z",
        "*",
    ),
    (
        "M-0.95,-0.5L-0.5,-0.95L0,-0.4L0.5,-0.95L0.95,-0.5L0.4,0L0.95,0.5L0.5,0.95L0,0.4L-0.5,0.95L-0.95,0.5L-0.4,0Z",
        "X",
    ),
    ("M-1,0L0.75,-1L0.75,1Z", "<"),
    ("M1,0L-0.75,-1L-0.75,1Z", ">"),
    ("M0,-1L0.866,-0.5L0.866,0.5L0,1L-0.866,0.5L-0.866,-0.5Z", "h"),
)

CIRCLE = _SHAPES[0][0]
"""An SVG path that stands for no method."""


def colours(methods: Sequence[str]) -> list[str]:
    """A colour for each method, as `#rrggbb`; the same in every chart."""
    return [_COLOURS[place % len(_COLOURS)] for place in _places(methods)]


def shapes(methods: Sequence[str]) -> list[str]:
    """An SVG path for each method, within about 1 of the origin; the same in every chart."""
    return [_SHAPES[place % len(_SHAPES)][0] for place in _places(methods)]


def markers(methods: Sequence[str]) -> list[str]:
    """A matplotlib marker for each method, the same shapes."""
    return [_SHAPES[place % len(_SHAPES)][1] for place in _places(methods)]


def _places(methods: Sequence[str]) -> list[int]:
    """A number for each method: its place among all that there are, strangers after them."""
    known = names()
    strangers = [method for method in methods if method not in known]
    return [known.index(m) if m in known else len(known) + strangers.index(m) for m in methods]
