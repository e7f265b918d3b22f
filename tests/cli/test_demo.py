"""The demo: what `make demo` runs."""

import pytest


@pytest.mark.slow
def test_the_demo_trains_seven_methods_and_writes_a_page(nodepath, tmp_path):
    document = nodepath("demo", "--json").document
    rows = [row for row in document["rows"] if row["method"] != "dense"]
    assert len({row["method"] for row in rows}) == 7
    assert {row["sparsity"] for row in rows} == {0.9, 0.97, 0.99}
    assert len(rows) == 7 * 3 * 2
    assert (tmp_path / "demo" / "index.html").stat().st_size > 100_000
    best = max(row["accuracy_last"] for row in rows)
    assert best > 0.95  # trained for real
    again = nodepath("demo", "--json").document
    assert again["rows"] == document["rows"]  # finished runs are kept
