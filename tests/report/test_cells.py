import math
import statistics

import pytest
from made_up import result, study

from nodepath.errors import ArgumentError
from nodepath.report import rows_from_results
from nodepath.report.cells import Spread, sections


def test_a_spread_is_that_of_a_sample():
    spread = Spread.of([0.9, 0.8, None, 0.85])
    assert spread == Spread(statistics.fmean([0.9, 0.8, 0.85]), statistics.stdev([0.9, 0.8, 0.85]), 0.8, 0.9, 3)
    assert math.isnan(Spread.of([0.9]).sd)
    assert Spread.of([None, -math.inf, math.nan]) is None


def test_a_cell_brings_together_the_seeds():
    (section,) = sections(rows_from_results(study()))
    assert len(section.pruned) == 18
    assert all((len(cell.rows), cell.seeds) == (2, 2) for cell in section.cells)
    assert section.sparsities == [0.9, 0.97, 0.99]
    assert section.dense is not None
    assert "dense" not in section.methods


@pytest.mark.parametrize("key", ["model", "data", "setting"])
def test_what_differs_in_more_than_the_seed_is_never_mixed(key):
    rows = rows_from_results([result("erk", 0.9, 0), result("erk", 0.9, 1, **{key: "other"})])
    parts = sections(rows)
    assert [len(part.rows) for part in parts] == [1, 1]
    assert sum("other" in part.title for part in parts) == 1


def test_no_rows_are_an_error():
    with pytest.raises(ArgumentError, match="at least one"):
        sections([])
