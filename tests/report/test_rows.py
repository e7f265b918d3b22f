import math

import pytest
from made_up import comparison, result, study, topology

from nodepath.errors import ArgumentError, RunError
from nodepath.report import rows_from_results


def test_null_paths_mean_no_path():
    (row,) = rows_from_results([result("snip", 0.99, 0)])
    assert row.log10_paths == -math.inf
    assert math.isnan(row.position)
    assert row.collapsed
    assert row.to_dict()["log10_paths"] is None


def test_multiply_adds_are_relative_to_those_of_all_weights():
    (row,) = rows_from_results([result("erk", 0.9, 0)])
    assert row.dense_macs == 30_000
    assert row.mac_ratio == pytest.approx(0.1)


def test_results_of_compare_have_no_accuracy():
    rows = rows_from_results(comparison())
    assert {(row.accuracy_last, row.seed, row.data) for row in rows} == {(None, None, "")}


def test_the_paper_convention_reads_its_own_topology():
    run = {**result("erk", 0.9, 0), "topology_paper": {**topology(0.5, 0.4, 0.9), "convention": "paper"}}
    assert rows_from_results([run], convention="paper")[0].node_ratio == 0.5
    with pytest.raises(ArgumentError, match="known: exact, paper"):
        rows_from_results([run], convention="thesis")  # type: ignore[arg-type]


def test_a_missing_value_is_named():
    run = study()[3]
    del run["method"]
    with pytest.raises(RunError, match="result 1 has no 'method'"):
        rows_from_results([study()[0], run])
    with pytest.raises(RunError, match="result 0 has no 'topology'"):
        rows_from_results([{"model": "lenet5", "method": "erk", "sparsity": 0.9}])
    with pytest.raises(RunError, match="result 0 has a value of a wrong kind"):
        rows_from_results([{**result("erk", 0.9, 0), "sparsity": None}])


@pytest.mark.parametrize("changes", [{"accuracy_last": 93.1}, {"accuracy_best": -0.1}, {"sparsity": 1.0}])
def test_values_outside_their_range_are_refused(changes):
    with pytest.raises(ArgumentError, match="method 'erk'"):
        rows_from_results([{**result("erk", 0.9, 0), **changes}])
