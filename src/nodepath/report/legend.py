"""Legends in HTML: they wrap on a phone as text does, which those inside a chart do not."""

from collections.abc import Sequence
from html import escape

from nodepath.report.cells import Section
from nodepath.report.palette import CIRCLE, colours, shapes
from nodepath.report.wording import sparsity_words

__all__ = ["areas", "method_legend", "sparsity_legend"]


def areas(sparsities: Sequence[float]) -> list[int]:
    """The area of a mark at each sparsity, in square pixels: the sparser, the smaller."""
    return [round(280 - 215 * index / max(1, len(sparsities) - 1)) for index in range(len(sparsities))]


def method_legend(section: Section, *, coloured: bool = True) -> str:
    """The shape of each method, in its colour or in that of the text."""
    methods = section.methods
    fills = colours(methods) if coloured else ["currentColor"] * len(methods)
    marks = zip(methods, shapes(methods), fills, strict=True)
    return _list("method", [_item(name, shape, fill, 5.5) for name, shape, fill in marks])


def sparsity_legend(section: Section) -> str:
    """The size of a mark at each sparsity."""
    levels = section.sparsities
    # Vega scales a path by half the square root of the mark's area.
    sizes = [area**0.5 / 2 for area in areas(levels)]
    items = [_item(sparsity_words(s), CIRCLE, "#888888", size) for s, size in zip(levels, sizes, strict=True)]
    return _list("sparsity", items)


def _list(title: str, items: list[str]) -> str:
    return f'<ul class="legend" aria-label="{title}"><li>{title}:</li>{"".join(items)}</ul>'


def _item(name: str, path: str, fill: str, scale: float) -> str:
    return (
        '<li><svg width="20" height="20" viewBox="-10 -10 20 20" aria-hidden="true">'
        f'<path d="{path}" transform="scale({scale:.2f})" fill="{fill}"/></svg>{escape(name)}</li>'
    )
