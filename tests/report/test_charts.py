import altair
import pytest
from made_up import METHODS, SPARSITIES, comparison, result, study

from nodepath.report import rows_from_results
from nodepath.report.cells import sections
from nodepath.report.charts import accuracy_chart, plane_chart, ratio_chart


def section_of(results):
    (section,) = sections(rows_from_results(results))
    return section


def every_chart(results):
    section = section_of(results)
    return [
        plane_chart(section),
        accuracy_chart(section),
        ratio_chart(section, "node_ratio"),
        ratio_chart(section, "path_ratio"),
    ]


@pytest.mark.parametrize("results", [study(), comparison(), [result("erk", 0.9, 0)], [result("snip", 0.99, 0)]])
def test_every_chart_is_valid_vega_lite(results):
    for spec in every_chart(results):
        altair.Chart.from_dict(spec, validate=True)


def test_the_plane_has_a_mark_for_each_method_and_sparsity():
    marks = plane_chart(section_of(study()))["datasets"]["marks"]
    assert {(mark["method"], mark["sparsity"]) for mark in marks} == {(m, s) for m in METHODS for s in SPARSITIES}


def test_a_mask_without_a_path_stands_at_zero_and_is_named():
    spec = plane_chart(section_of(study()))
    (dead,) = [mark for mark in spec["datasets"]["marks"] if mark["collapsed"]]
    assert (dead["method"], dead["sparsity"], dead["x"], dead["y"]) == ("snip", 0.99, 0, 0)
    labels = [value["label"] for layer in spec["layer"] for value in layer["data"].get("values", [])]
    assert "snip 99 %: no path" in labels


def test_a_mask_without_a_path_does_not_stretch_the_colours():
    (marks,) = [layer for layer in plane_chart(section_of(study()))["layer"] if "shape" in layer["encoding"]]
    low, high = marks["encoding"]["color"]["scale"]["domain"]
    assert 0.75 < low < high < 1


def test_without_accuracy_the_colour_is_the_method():
    (marks,) = [layer for layer in plane_chart(section_of(comparison()))["layer"] if "shape" in layer["encoding"]]
    assert marks["encoding"]["color"]["field"] == "method"


def test_accuracy_shows_each_run_and_its_mean():
    spec = accuracy_chart(section_of(study()))
    # snip at 99 % has no path: it stands off the scale.
    assert len(spec["datasets"]["runs"]) == 34
    assert len(spec["datasets"]["means"]) == 17
    for mean in spec["datasets"]["means"]:
        values = [
            run["y"] for run in spec["datasets"]["runs"] if (run["method"], run["x"]) == (mean["method"], mean["x"])
        ]
        assert (mean["low"], mean["high"]) == (min(values), max(values))
        assert mean["y"] == pytest.approx(sum(values) / 2)


def test_a_mask_without_a_path_keeps_its_accuracy_beside_the_scale():
    spec = accuracy_chart(section_of(study()))
    texts = [value.get("label") for layer in spec["layer"] for value in layer["data"].get("values", [])]
    assert "snip: no path, 10.0 %" in texts
    bounds = {tuple(layer["encoding"]["y"]["scale"]["domain"]) for layer in spec["layer"]}
    ((low, high),) = bounds
    assert 0.75 < low < min(run["y"] for run in spec["datasets"]["runs"])
    assert high <= 1


def test_masks_that_all_lack_a_path_are_on_the_scale():
    spec = accuracy_chart(section_of([result("snip", 0.99, 0)]))
    assert [mean["y"] for mean in spec["datasets"]["means"]] == [0.1]


def test_the_axis_is_logarithmic_in_density_and_rises_with_sparsity():
    x = accuracy_chart(section_of(study()))["layer"][-1]["encoding"]["x"]
    assert (x["scale"]["type"], x["scale"]["reverse"]) == ("log", True)
    assert x["axis"]["values"] == pytest.approx([0.1, 0.03, 0.01])


def test_methods_stand_apart_by_less_than_the_sparsities_do():
    close = [result(m, s, 0) for m in METHODS for s in (0.9, 0.901, 0.99)]
    means = ratio_chart(section_of(close), "node_ratio")["datasets"]["means"]
    at = {s: [m["x"] for m in means if m["tip: sparsity"] == s] for s in ("90 %", "90.1 %")}
    assert len(set(at["90 %"])) == len(METHODS)
    assert min(at["90 %"]) > max(at["90.1 %"])


def test_the_dense_network_is_a_line_of_reference():
    def labels(results):
        layers = accuracy_chart(section_of(results))["layer"]
        return [v.get("label", "") for layer in layers for v in layer["data"].get("values", [])]

    assert any(label.startswith("dense 97.") for label in labels(study()))
    without = [run for run in study() if run["method"] != "dense"]
    assert not any(label.startswith("dense") for label in labels(without))
