"""The node-path plane as a matplotlib figure, for papers."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodepath.atomic import write_atomically
from nodepath.errors import WriteError
from nodepath.report.cells import Section, sections
from nodepath.report.palette import colours, markers
from nodepath.report.rows import Row
from nodepath.report.wording import collapse_words, sparsity_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plane_figure", "save_figure"]

_ROWS = 18
"""So many entries of a legend fit beside a panel."""


def plane_figure(rows: Sequence[Row]) -> "Figure":
    """Node ratio against path ratio, a panel for each model and data set, a mark for each method and sparsity.

    Marks are means over the rows of a cell; crossed lines reach from the smallest to the largest value. The sparser,
    the smaller. No global state of matplotlib is touched.

    Raises:
        ArgumentError: There are no rows.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = sections(rows)
    beside = max(_columns(len(part.methods) + len(part.sparsities)) for part in parts)
    figure = Figure(figsize=((4.0 + 1.2 * beside) * len(parts), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for index, part in enumerate(parts):
        axes = figure.add_subplot(1, len(parts), index + 1)
        _draw(axes, part)
    return figure


def save_figure(rows: Sequence[Row], path: Path) -> None:
    """Write the figure in the format that the suffix names."""
    # A fixed date: the same rows give the same file.
    metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(path.suffix.lower())
    picture = BytesIO()
    plane_figure(rows).savefig(picture, format=path.suffix.lower().removeprefix("."), dpi=200, metadata=metadata)
    write_atomically(path, picture.getvalue(), WriteError)


def _draw(axes: "Axes", section: Section) -> None:
    methods, levels = section.methods, section.sparsities
    colour, marker = (
        dict(zip(methods, colours(methods), strict=True)),
        dict(zip(methods, markers(methods), strict=True)),
    )
    size = {level: 90 - 65 * index / max(1, len(levels) - 1) for index, level in enumerate(levels)}
    for cell in section.pruned:
        nodes, paths = cell.spread("node_ratio"), cell.spread("path_ratio")
        assert nodes is not None
        assert paths is not None
        style: dict[str, Any] = {"color": colour[cell.method], "linewidth": 0.8, "alpha": 0.7}
        axes.plot([nodes.low, nodes.high], [paths.mean, paths.mean], **style)
        axes.plot([nodes.mean, nodes.mean], [paths.low, paths.high], **style)
        axes.scatter(
            [nodes.mean],
            [paths.mean],
            s=size[cell.sparsity],
            c=colour[cell.method],
            marker=marker[cell.method],
            edgecolors="black",
            linewidths=0.5,
            clip_on=False,
            zorder=3,
        )
    _label_collapsed(axes, section)
    if section.dense:
        axes.scatter([1], [1], s=40, c="black", marker="+", clip_on=False, zorder=3)
        axes.annotate("dense", (1, 1), xytext=(-6, -4), textcoords="offset points", ha="right", va="top", fontsize=8)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="node ratio", ylabel="path ratio", title=_plain(section.title))
    axes.grid(alpha=0.25)
    _legend(axes, colour, marker, size)


def _legend(axes: "Axes", colour: dict[str, str], marker: dict[str, str], size: dict[float, float]) -> None:
    from matplotlib.lines import Line2D

    edge: dict[str, Any] = {"linestyle": "", "markeredgecolor": "black", "markeredgewidth": 0.5}
    blank: dict[str, Any] = {"linestyle": "", "marker": ""}
    handles = [
        Line2D([], [], label="method", **blank),
        *(Line2D([], [], marker=marker[name], color=colour[name], label=_plain(name), **edge) for name in colour),
        Line2D([], [], label="sparsity", **blank),
        *(
            Line2D([], [], marker="o", color="0.6", markersize=area**0.5, label=sparsity_words(level), **edge)
            for level, area in size.items()
        ),
    ]
    place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "ncols": _columns(len(handles) - 2)}
    axes.legend(handles=handles, fontsize=8, frameon=False, **place)


def _columns(entries: int) -> int:
    """Of a legend that is no higher than its panel."""
    return -(-entries // _ROWS)


def _label_collapsed(axes: "Axes", section: Section) -> None:
    lines: dict[tuple[float, float], list[str]] = {}
    for cell in section.pruned:
        nodes, paths = cell.spread("node_ratio"), cell.spread("path_ratio")
        if cell.collapsed and nodes and paths:
            words = f"{_plain(cell.method)} {sparsity_words(cell.sparsity)}: {collapse_words(cell)}"
            lines.setdefault((nodes.mean, paths.mean), []).append(words)
    for place, words_here in lines.items():
        axes.annotate("\n".join(words_here), place, xytext=(7, 5), textcoords="offset points", fontsize=7)


def _plain(name: str) -> str:
    """A name that matplotlib takes as it is: no mathematics, and no leading underscore, which hides a label."""
    escaped = name.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped
