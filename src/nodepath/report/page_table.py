"""The table behind the charts, as HTML."""

import math
from dataclasses import dataclass
from html import escape

from nodepath.report.cells import Cell, Section, Spread
from nodepath.report.wording import collapse_words, plain, sparsity_words

__all__ = ["table_html"]


@dataclass(frozen=True)
class _Column:
    """One number of a cell: what the header says, how the mean is shown."""

    header: str
    name: str
    digits: int
    scale: float = 1
    sd: bool = False


_ACCURACY = (
    _Column("accuracy last, %", "accuracy_last", 2, 100, sd=True),
    _Column("accuracy best, %", "accuracy_best", 2, 100),
)
_TOPOLOGY = (
    _Column("node ratio", "node_ratio", 3),
    _Column("path ratio", "path_ratio", 3),
    _Column("log10 paths", "log10_paths", 2),
    _Column("effective width", "effective_width", 1),
    _Column("position", "position", 3),
    _Column("effective sparsity, %", "effective_sparsity", 2, 100),
    _Column("multiply-adds, % of dense", "mac_ratio", 2, 100),
)
_SECONDS = _Column("seconds", "seconds", 1)


def table_html(section: Section) -> str:
    """A row for each method and sparsity; a click on a header sorts by it."""
    timed = any(row.seconds is not None for row in section.rows)
    columns = (*(_ACCURACY if section.trained else ()), *_TOPOLOGY, *((_SECONDS,) if timed else ()))
    headers = ["method", "sparsity", "seeds", *(column.header for column in columns)]
    head = "".join(f'<th scope="col"><button type="button">{escape(header)}</button></th>' for header in headers)
    body = "\n".join(_row(cell, columns) for cell in section.cells)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(f"Table of {section.title}")}"><table>'
        f"<caption>Means by method and sparsity: {escape(section.title)}</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _row(cell: Cell, columns: tuple[_Column, ...]) -> str:
    method = escape(cell.method)
    runs = len(cell.rows)
    seeds = str(cell.seeds) if cell.seeds == runs else f"{cell.seeds} ({runs} runs)"
    return (
        f'<tr><th scope="row" data-value="{method}" title="{method}">{method}</th>'
        + _cell(cell.sparsity, sparsity_words(cell.sparsity))
        + _cell(cell.seeds, seeds)
        + "".join(_number(cell, column) for column in columns)
        + "</tr>"
    )


def _cell(value: float | None, text: str) -> str:
    return f'<td data-value="{"" if value is None else value!r}">{escape(text)}</td>'


def _number(cell: Cell, column: _Column) -> str:
    spread = cell.spread(column.name)
    if column.name == "log10_paths" and cell.collapsed:
        return _paths(cell, column, spread)
    if spread is None:
        return _cell(None, "-")
    text = plain(column.scale * spread.mean, column.digits)
    if column.sd and not math.isnan(spread.sd):
        text += f" ± {plain(column.scale * spread.sd, column.digits)}"
    return _cell(spread.mean, text)


def _paths(cell: Cell, column: _Column, spread: Spread | None) -> str:
    if spread is None:
        # JavaScript's Number reads this word, and sorts it below all.
        return f'<td data-value="-Infinity">{collapse_words(cell)}</td>'
    return _cell(spread.mean, f"{plain(spread.mean, column.digits)} ({collapse_words(cell)})")
