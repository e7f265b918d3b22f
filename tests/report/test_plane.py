import json
import re

import matplotlib as mpl
import pytest
from made_up import METHODS, comparison, result

from nodepath.errors import ArgumentError
from nodepath.report import rows_from_results, write_plane
from nodepath.report.figure import plane_figure

ROWS = rows_from_results(comparison())


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_the_suffix_chooses_the_format(tmp_path, suffix, start):
    path = tmp_path / "new" / f"plane{suffix}"
    write_plane(ROWS, path)
    assert path.read_bytes().startswith(start)


def test_json_holds_the_rows(tmp_path):
    write_plane(ROWS, tmp_path / "plane.json")
    document = json.loads((tmp_path / "plane.json").read_text())
    assert [(row["method"], row["node_ratio"]) for row in document] == [(row.method, row.node_ratio) for row in ROWS]
    assert [row["log10_paths"] for row in document].count(None) == 1


def test_html_is_a_page_without_accuracy(tmp_path):
    write_plane(ROWS, tmp_path / "plane.html")
    text = re.sub(r"<script>.*?</script>", "", (tmp_path / "plane.html").read_text(), flags=re.DOTALL)
    assert "The node-path plane" in text
    assert "accuracy last" not in text


@pytest.mark.parametrize("name", ["plane.jpeg", "plane"])
def test_an_unknown_suffix_names_the_known_ones(tmp_path, name):
    with pytest.raises(ArgumentError, match=r"known: \.html, \.json, \.pdf, \.png, \.svg"):
        write_plane(ROWS, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "x.png").mkdir()
    with pytest.raises(ArgumentError, match="is a folder"):
        write_plane(ROWS, tmp_path / "x.png")


def test_the_figure_has_a_mark_for_each_method_and_sparsity():
    (axes,) = plane_figure(ROWS).axes
    assert len(axes.collections) == 18
    assert [0, 0] in [mark.get_offsets()[0].tolist() for mark in axes.collections]
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["method", *METHODS, "sparsity", "90 %", "97 %", "99 %"]


@pytest.mark.parametrize("number", [3, 28, 60])
def test_the_panel_stays_large_beside_the_names_of_many_methods(number):
    rows = rows_from_results([{**result("erk", 0.9, 0), "method": f"method-{each}"} for each in range(number)])
    figure = plane_figure(rows)
    figure.canvas.draw()
    box = figure.axes[0].get_window_extent()
    assert min(box.width, box.height) > 2.6 * figure.dpi


def test_each_data_set_has_its_own_panel():
    figure = plane_figure(rows_from_results([result("erk", 0.9, 0), result("erk", 0.9, 0, data="cifar10")]))
    assert [axes.get_title() for axes in figure.axes] == ["lenet5 on cifar10", "lenet5 on digits"]


def test_names_are_drawn_as_they_are(tmp_path):
    rows = rows_from_results([result("$x_{", 0.9, 0), result("_mine", 0.9, 0)])
    write_plane(rows, tmp_path / "plane.png")
    (axes,) = plane_figure(rows).axes
    assert [text.get_text().strip() for text in axes.get_legend().get_texts()][1:3] == [r"\$x_{", "_mine"]


def test_matplotlibs_global_state_stays_untouched(tmp_path):
    before = dict(mpl.rcParams)
    write_plane(ROWS, tmp_path / "plane.svg")
    assert dict(mpl.rcParams) == before


def test_the_same_rows_give_the_same_figure(tmp_path):
    for name in ("a.png", "b.png"):
        write_plane(ROWS, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
