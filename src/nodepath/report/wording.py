"""Numbers and names in words, the same in the page, the terminal and the figure."""

import math
from collections.abc import Sequence

from nodepath.report.cells import Cell

__all__ = ["collapse_words", "listing", "percent", "plain", "runs_words", "sparsity_words"]


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction as a percentage."""
    return f"{100 * fraction:.{digits}f} %"


def sparsity_words(sparsity: float) -> str:
    """A sparsity as a percentage with as many digits as it needs."""
    return f"{round(100 * sparsity, 7):.9g} %"


def listing(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def runs_words(cells: Sequence[Cell]) -> str:
    """How many runs, and of how many seeds, stand behind each cell."""
    runs, seeds = [len(cell.rows) for cell in cells], [cell.seeds for cell in cells]
    if all(row.seed is None for cell in cells for row in cell.rows):
        return _counted(runs, "mask")
    return _counted(seeds, "seed") if runs == seeds else f"{_counted(runs, 'run')} of {_counted(seeds, 'seed')}"


def collapse_words(cell: Cell) -> str:
    """How many of a cell's masks have no path; "" if all have one."""
    if not cell.collapsed:
        return ""
    return "no path" if cell.collapsed == len(cell.rows) else f"no path in {cell.collapsed} of {len(cell.rows)}"


def _counted(counts: Sequence[int], noun: str) -> str:
    low, high = min(counts), max(counts)
    number = str(low) if low == high else f"{low} to {high}"
    return f"{number} {noun}" + ("" if high == 1 else "s")


def plain(value: float, digits: int) -> str:
    """A number with so many digits after the point; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
