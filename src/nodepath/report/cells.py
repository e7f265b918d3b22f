"""Rows brought together: sections that may share a chart, and cells that differ in nothing but the seed."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nodepath.errors import ArgumentError
from nodepath.report.rows import Row

__all__ = ["DENSE", "Cell", "Section", "Spread", "sections"]

DENSE = "dense"


@dataclass(frozen=True)
class Spread:
    """A number over the runs of a cell.

    Attributes:
        mean: Arithmetic mean.
        sd: Sample standard deviation (n - 1 below the fraction bar); NaN for a single run.
        low: Smallest.
        high: Largest.
        count: Number of runs that have the number.
    """

    mean: float
    sd: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread | None":
        """The spread of the finite values; None if there is none."""
        known = [value for value in values if value is not None and math.isfinite(value)]
        if not known:
            return None
        sd = statistics.stdev(known) if len(known) > 1 else math.nan
        return cls(statistics.fmean(known), sd, min(known), max(known), len(known))

    def reaches(self, other: "Spread") -> bool:
        """Whether the two ranges from the smallest to the largest value meet."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Cell:
    """All rows of one method at one sparsity within a section."""

    method: str
    sparsity: float
    rows: tuple[Row, ...]

    @property
    def seeds(self) -> int:
        """Number of different seeds."""
        return len({row.seed for row in self.rows})

    @property
    def collapsed(self) -> int:
        """Number of rows without a path."""
        return sum(row.collapsed for row in self.rows)

    def spread(self, name: str) -> Spread | None:
        """The spread of a field or property of the rows.

        log10 paths and position do not exist without a path: those rows do not enter them. A path ratio does,
        as 0.
        """
        return Spread.of(getattr(row, name) for row in self.rows)


@dataclass(frozen=True)
class Section:
    """Rows that may stand in one chart: same model, data, convention and setting."""

    model: str
    data: str
    convention: str
    setting: str
    cells: tuple[Cell, ...]

    @property
    def title(self) -> str:
        """What the section is about."""
        where = f"{self.model} on {self.data}" if self.data else self.model
        return f"{where} ({self.setting})" if self.setting else where

    @property
    def rows(self) -> list[Row]:
        """All rows."""
        return [row for cell in self.cells for row in cell.rows]

    @property
    def pruned(self) -> tuple[Cell, ...]:
        """All cells but the dense control, by sparsity, then method."""
        return tuple(cell for cell in self.cells if cell.method != DENSE)

    @property
    def dense(self) -> Cell | None:
        """The dense control, if there is one."""
        return next((cell for cell in self.cells if cell.method == DENSE), None)

    @property
    def methods(self) -> list[str]:
        """Names of the methods, without the dense control, in alphabetical order."""
        return sorted({cell.method for cell in self.pruned})

    @property
    def sparsities(self) -> list[float]:
        """Sparsities of the pruned cells, rising."""
        return sorted({cell.sparsity for cell in self.pruned})

    @property
    def trained(self) -> bool:
        """Whether any row has an accuracy."""
        return any(row.accuracy_last is not None for row in self.rows)


def sections(rows: Sequence[Row]) -> list[Section]:
    """Bring together what belongs together.

    Raises:
        ArgumentError: There are no rows.
    """
    if not rows:
        raise ArgumentError("no rows to show; give at least one finished run")
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.model, row.data, row.convention, row.setting), []).append(row)
    return [Section(*key, cells=_cells(groups[key])) for key in sorted(groups)]


def _cells(rows: list[Row]) -> tuple[Cell, ...]:
    groups: dict[tuple[float, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((round(row.sparsity, 9), row.method), []).append(row)
    return tuple(
        Cell(method, sparsity, tuple(group)) for (sparsity, method), group in sorted(groups.items(), key=lambda x: x[0])
    )
