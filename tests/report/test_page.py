import json
import re
from html.parser import HTMLParser

import pytest
from made_up import comparison, result, study

from nodepath.errors import ArgumentError
from nodepath.methods import names
from nodepath.report import rows_from_results, write_page
from nodepath.report.cells import sections
from nodepath.report.legend import sparsity_legend
from nodepath.report.palette import CIRCLE, shapes

VOID = {"meta", "link", "br", "path"}


class Outline(HTMLParser):
    """Tags in order; fails where they do not nest."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.addresses = [], [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.addresses += [value for key, value in attributes if key in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page(tmp_path, results, **options):
    path = tmp_path / "page.html"
    write_page(rows_from_results(results), path, **options)
    return path.read_text(encoding="utf-8")


def own(text):
    """The page without Vega and styles."""
    return re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)


def charts(text):
    return json.loads(re.search(r'id="charts">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_names_no_address_and_stays_near_a_megabyte(tmp_path):
    text = page(tmp_path, study())
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.addresses == ["data:,"]
    assert 500_000 < len(text) < 1_500_000
    assert "default-src 'none'" in text


def test_the_page_has_four_charts_and_a_row_for_each_cell(tmp_path):
    text = page(tmp_path, study())
    assert own(text).count('<div class="chart">') == len(charts(text)) == 4
    assert own(text).count('<th scope="row"') == 19


def test_each_data_set_has_its_own_section(tmp_path):
    text = page(tmp_path, study() + study(data="cifar10"))
    assert re.findall("<h2>(.*?)</h2>", own(text)) == ["lenet5 on cifar10", "lenet5 on digits"]
    assert len(charts(text)) == 8
    assert all("cifar10" in spec["description"] for spec in charts(text)[:4])


def test_without_training_the_page_speaks_of_no_accuracy(tmp_path):
    text = own(page(tmp_path, comparison(), title="plane"))
    assert len(charts(text)) == 3
    assert "Each mark is one mask." in text
    assert "ccuracy" not in text.split('<script type="application/json"')[0]


def test_names_from_records_are_text(tmp_path):
    evil = "</script><script>alert(1)</script><img src=http://x.example/y onerror=alert(2)>&\u2028"
    results = [result(evil, 0.9, 0, model=evil, data=evil), result("erk", 0.9, 0, model=evil, data=evil)]
    text = page(tmp_path, results, title=evil, notes=[evil])
    outline = Outline()
    outline.feed(text)
    assert outline.seen.count("script") == 3
    assert "<" not in re.search(r'id="charts">(.*?)</script>', text, re.DOTALL)[1]
    assert "img" not in outline.seen
    assert charts(text)[0]["datasets"]["marks"][0]["method"] == evil


def test_the_table_says_mean_and_spread_and_what_cannot_be_told(tmp_path):
    runs = [
        result("erk", 0.9, 0, accuracy_last=0.90, accuracy_best=0.95),
        result("erk", 0.9, 1, accuracy_last=0.92, accuracy_best=0.97),
        result("snip", 0.99, 0),
    ]
    text = own(page(tmp_path, runs))
    cells = [re.findall("<td[^>]*>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", text)[1:]]
    assert cells[0][:4] == ["90 %", "2", "91.00 ± 1.41", "96.00"]
    assert cells[1][2] == "10.00"
    assert "no path" in cells[1]
    assert "Means over 1 to 2 seeds in each row" in text
    assert "hence optimistic" in text


def test_runs_that_share_a_seed_are_not_called_seeds(tmp_path):
    text = own(page(tmp_path, [result("erk", 0.9, 0), result("erk", 0.9, 0)]))
    assert "1 (2 runs)" in text
    assert "Some runs share method, sparsity and seed" in text


def test_dense_runs_alone_make_a_page_without_charts(tmp_path):
    text = page(tmp_path, [result("dense", 0.0, 0)])
    assert charts(text) == []
    assert "Only the dense network" in text


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="is a folder"):
        write_page(rows_from_results(study()), tmp_path)


def test_notes_stand_at_the_end(tmp_path):
    assert "<p>two cores, 4 minutes</p>" in page(tmp_path, study(), notes=["two cores, 4 minutes"])


def test_the_legend_of_sparsities_shows_circles():
    (section,) = sections(rows_from_results([result("erk", 0.9, 0)]))
    assert sparsity_legend(section).count(CIRCLE) == 1
    assert shapes(names())[0] == CIRCLE
