import io

from made_up import comparison, result, study
from rich.console import Console

from nodepath.report import rows_from_results, summary_tables


def printed(results):
    stream = io.StringIO()
    console = Console(file=stream, width=80)
    for table in summary_tables(rows_from_results(results)):
        console.print(table)
    return stream.getvalue().splitlines()


def test_eighty_columns_hold_every_heading_and_number():
    lines = printed([*study(), result("synflow-npb", 0.99, 0), result("synflow-npb", 0.99, 1)])
    assert max(map(len, lines)) <= 80
    for heading in ("sparsity", "method", "runs", "last %", "best %", "nodes", "paths", "position", "MACs %"):
        assert any(heading in line for line in lines)
    assert not any("…" in line for line in lines)
    (npb,) = [line for line in lines if "synflow-npb" in line]
    assert npb.rstrip().endswith("1.0")


def test_rows_go_by_sparsity_then_method():
    words = [line.split() for line in printed(study())]
    methods = [next(word for word in line if word.isalpha()) for line in words[3:] if len(line) > 5]
    assert methods == ["dense", *["erk", "magnitude", "npb", "random", "snip", "synflow"] * 3]


def test_a_mask_without_a_path_is_said_to_have_none():
    (row,) = [line for line in printed([result("snip", 0.99, 0)]) if "snip" in line]
    assert "none" in row.split()


def test_accuracy_has_no_column_without_training():
    assert not any("last" in line for line in printed(comparison()))


def test_a_method_name_is_never_markup():
    assert any("[red]x" in line for line in printed([result("[red]x", 0.9, 0)]))
