"""The page in a real browser; skipped where there is none."""

import shutil

import pytest
from made_up import comparison, result, study, topology

from nodepath.report import rows_from_results, write_page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser, tmp_path):
    """Open the page of some results; afterwards check that the browser had nothing to complain or fetch."""
    complaints, requests, tabs = [], [], []

    def opened(results, width=1280):
        write_page(rows_from_results(results), tmp_path / "page.html")
        tab = browser.new_page(viewport={"width": width, "height": 900})
        tabs.append(tab)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto((tmp_path / "page.html").as_uri())
        assert tab.evaluate("window.drawn")
        return tab

    yield opened
    for tab in tabs:
        tab.close()
    assert complaints == []
    assert requests == [(tmp_path / "page.html").as_uri()] * len(tabs)


def symbols(tab, chart):
    return tab.locator(".chart").nth(chart).locator(".mark-symbol.role-mark path")


@pytest.mark.parametrize("width", [1280, 400])
def test_every_mark_is_drawn_and_nothing_is_wider_than_the_page(show, width):
    tab = show(study(), width)
    # 18 cells; 34 runs, 17 means and a hollow mark for snip at 99 %; 18 means each.
    assert [symbols(tab, chart).count() for chart in range(4)] == [18, 52, 18, 18]
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    for chart in tab.locator(".chart svg").all():
        assert chart.bounding_box()["width"] <= width


def test_a_mask_without_a_path_is_seen_in_the_corner(show):
    tab = show(comparison())
    assert "snip 99 %: no path" in tab.locator(".chart").nth(0).inner_text()


def test_a_single_run_is_drawn(show):
    tab = show([result("erk", 0.9, 0)])
    assert [symbols(tab, chart).count() for chart in range(4)] == [1, 2, 1, 1]
    # The outline alone: a bounding box would hold the stroke's joins too.
    assert 10 < symbols(tab, 0).evaluate("mark => mark.getBBox().width") < 20


def test_every_chart_has_a_description(show):
    labels = show(study()).eval_on_selector_all(
        "[role=graphics-document]", "all => all.map(chart => chart.getAttribute('aria-label'))"
    )
    assert len(labels) == 4
    assert all("lenet5 on digits" in label for label in labels)


def test_a_click_on_a_header_sorts_and_a_second_one_turns_round(show):
    tab = show(study())

    def column(index):
        return tab.eval_on_selector_all("tbody tr", f"rows => rows.map(row => row.cells[{index}].dataset.value)")

    header = tab.locator("thead th", has_text="accuracy last")
    header.locator("button").click()
    assert column(3) == sorted(column(3), key=float)
    assert header.get_attribute("aria-sort") == "ascending"
    header.locator("button").click()
    assert column(3) == sorted(column(3), key=float, reverse=True)
    tab.locator("thead th", has_text="log10 paths").locator("button").click()
    assert column(7)[0] == "-Infinity"
    assert header.get_attribute("aria-sort") is None
    tab.locator("thead th", has_text="method").locator("button").click()
    assert column(0) == sorted(column(0))


def test_names_from_records_run_nothing(show):
    evil = "</script><img src=http://127.0.0.1:9/x onerror=document.title=1>"
    apart = topology(0.3, 0.3, 0.9)
    tab = show([result(evil, 0.9, 0, model=evil, topology=apart), result("constructor", 0.9, 0, model=evil)])
    assert tab.title() == "Nodes, paths and accuracy"
    assert symbols(tab, 0).count() == 2
    symbols(tab, 0).first.hover()
    tab.locator("#vg-tooltip-element", has_text="onerror=").wait_for(timeout=5000)
    assert tab.locator("#vg-tooltip-element img").count() == 0
