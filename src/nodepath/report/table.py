"""The summary for a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nodepath.report.cells import Cell, Section, Spread, sections
from nodepath.report.rows import Row
from nodepath.report.wording import plain, sparsity_words

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["summary_tables"]


def summary_tables(rows: Sequence[Row]) -> "list[Table]":
    """One table for each model, data set and setting: a line per method and sparsity, by sparsity, then method.

    Accuracies are percentages of the test set, mean ± sample standard deviation over the runs; nodes and paths are
    ratios to the dense network; MACs the percentage of its multiply-adds.

    Raises:
        ArgumentError: There are no rows.
    """
    return [_table(section) for section in sections(rows)]


def _table(section: Section) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Names may come from third parties: as `Text` they are never read as markup.
    table = Table(
        box=box.SIMPLE_HEAD, title=Text(section.title), title_justify="left", show_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("sparsity", justify="right", no_wrap=True)
    table.add_column("method", overflow="fold", min_width=8)
    headings = ["runs", *(["last %", "best %"] if section.trained else []), "nodes", "paths", "position", "MACs %"]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    previous = None
    for cell in section.cells:
        if previous not in (None, cell.sparsity):
            table.add_section()
        new = cell.sparsity != previous
        previous = cell.sparsity
        table.add_row(sparsity_words(cell.sparsity) if new else "", Text(cell.method), *_numbers(cell, section.trained))
    if any(0 < cell.collapsed < len(cell.rows) for cell in section.cells):
        table.caption, table.caption_justify = "* some of these masks have no path; they count as 0", "left"
    return table


def _numbers(cell: Cell, trained: bool) -> list[str]:
    last, best = cell.spread("accuracy_last"), cell.spread("accuracy_best")
    accuracy = [_with_sd(last), _mean(best, 1, 100)] if trained else []
    paths = "none" if cell.collapsed == len(cell.rows) else _mean(cell.spread("path_ratio"), 3)
    return [
        str(len(cell.rows)),
        *accuracy,
        _mean(cell.spread("node_ratio"), 3),
        paths + ("*" if 0 < cell.collapsed < len(cell.rows) else ""),
        _mean(cell.spread("position"), 3),
        _mean(cell.spread("mac_ratio"), 1, 100),
    ]


def _mean(spread: Spread | None, digits: int, scale: float = 1) -> str:
    return plain(scale * spread.mean, digits) if spread else "-"


def _with_sd(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return _mean(spread, 1, 100) + (f" ±{100 * spread.sd:.1f}" if spread.count > 1 else "")
