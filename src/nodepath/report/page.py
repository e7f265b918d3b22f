"""One self-contained HTML page: the charts, the table, and what they show in words."""

import json
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from nodepath.atomic import write_atomically
from nodepath.errors import ArgumentError, WriteError
from nodepath.report.cells import Section, sections
from nodepath.report.charts import accuracy_chart, plane_chart, ratio_chart
from nodepath.report.legend import method_legend, sparsity_legend
from nodepath.report.page_script import SCRIPT
from nodepath.report.page_style import STYLE
from nodepath.report.page_table import table_html
from nodepath.report.palette import shapes
from nodepath.report.rows import Row
from nodepath.report.summary import section_sentences
from nodepath.report.wording import listing, runs_words

__all__ = ["write_page"]

# The browser itself then refuses any request, whatever a record holds. Vega compiles its expressions: unsafe-eval.
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:"


def write_page(
    rows: Sequence[Row], path: str | Path, *, title: str = "Nodes, paths and accuracy", notes: Sequence[str] = ()
) -> None:
    """Write a page that opens from disk with no network.

    It holds, for each model, data set and setting among the rows: a summary in words, the node-path plane, accuracy
    against sparsity (if anything was trained), nodes and paths against sparsity, and the table behind them.

    Args:
        rows: At least one.
        path: Where to write; missing folders are made, a file there is replaced.
        title: Heading of the page, plain text.
        notes: Further remarks, plain text, one a paragraph at the end.

    Raises:
        ArgumentError: There are no rows, or `path` is a folder.
        WriteError: The system refuses to write there.
    """
    parts = sections(rows)
    charts: list[dict[str, Any]] = []
    body = "\n".join(_section(part, charts) for part in parts)
    document = "\n".join([_head(title), _lead(title, rows), body, _notes(notes), _scripts(charts)])
    path = Path(path)
    if path.is_dir():
        raise ArgumentError(f"'{path}' is a folder; name a file in it, e.g. '{path / 'report.html'}'")
    write_atomically(path, document.encode(), WriteError)


def _head(title: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>"""


def _lead(title: str, rows: Sequence[Row]) -> str:
    trained = sum(row.accuracy_last is not None for row in rows)
    share = {0: "none", len(rows): "all"}.get(trained, f"{trained} of them")
    methods = sorted({row.method for row in rows})
    what = f"{_count(len(rows), 'mask')} of {_count(len(methods), 'method')} ({listing(methods)})"
    return f"""<h1>{escape(title)}</h1>
<p class="about">{escape(what)}, {share} trained.</p>"""


def _section(section: Section, charts: list[dict[str, Any]]) -> str:
    pieces = [
        f"<section>\n<h2>{escape(section.title)}</h2>",
        f'<p class="lead">{_prose(section_sentences(section))}</p>',
    ]
    if section.pruned:
        pieces += [_plane(section, charts), *_accuracy(section, charts), _ratios(section, charts)]
    pieces += [
        "<h3>The numbers</h3>",
        f'<p class="about">{escape(_table_notes(section))}</p>',
        table_html(section),
        "</section>",
    ]
    return "\n".join(pieces)


def _plane(section: Section, charts: list[dict[str, Any]]) -> str:
    charts.append(plane_chart(section))
    coloured = any(cell.spread("accuracy_last") and not cell.collapsed for cell in section.pruned)
    colour = "Colour is test accuracy after the last epoch" if coloured else "Colour and shape are the method"
    grey = " (grey: not trained, or no path)" if coloured else ""
    many = len(section.methods)
    repeat = ""
    if len(set(shapes(section.methods))) < many:
        repeat = " There are more methods than shapes, so shapes repeat; point at a mark to read its method."
    legends = method_legend(section, coloured=not coloured) + sparsity_legend(section)
    return f"""<h3>The node-path plane</h3>
<div class="split">
<figure><div class="chart"></div>{legends}</figure>
<div>
<p>Each mark is a pruned network before training. Further right, more of its nodes (channels and units) still lie on a
path from input to output: it is wide. Further up, more paths run through them. A weight budget buys nodes or paths;
where a mark stands shows what its method bought. The full network is at the top right, and a mask that cuts every path
is at the bottom left.</p>
<p class="about">{colour}{grey}; the smaller the mark, the sparser the network; a thin line joins the marks of a method.
{_what_marks_are(section)}
{_counting(section)}{repeat}</p>
</div>
</div>"""


def _accuracy(section: Section, charts: list[dict[str, Any]]) -> list[str]:
    if not any(cell.spread("accuracy_last") for cell in section.pruned):
        return []
    charts.append(accuracy_chart(section))
    dense = ""
    if section.dense and section.dense.spread("accuracy_last"):
        dense = (
            f" Dashed: the dense network, mean of {runs_words([section.dense])}; the band is its smallest to largest."
        )
    off = ""
    if any(cell.collapsed == len(cell.rows) for cell in section.pruned):
        off = " Masks without a path stand hollow at the lower edge, off the scale, with their accuracy beside them."
    return [
        f"""<h3>Accuracy against sparsity</h3>
<figure><div class="chart"></div>{method_legend(section)}
<figcaption>Test accuracy after the last epoch. A small circle is one run, a filled
mark the mean of {escape(runs_words(section.pruned))}, a bar reaches from the smallest to the largest of them (not a
confidence interval).{dense}{off} {_APART}</figcaption></figure>"""
    ]


_APART = (
    "The axis is logarithmic in the weights kept; methods are set slightly apart so that they do not hide each other."
)


def _ratios(section: Section, charts: list[dict[str, Any]]) -> str:
    charts.extend(ratio_chart(section, name) for name in ("node_ratio", "path_ratio"))
    figures = "".join(
        f'<figure><div class="chart"></div><figcaption>{words}</figcaption></figure>\n'
        for words in (
            "Node ratio: effective nodes over all nodes.",
            "Path ratio: log10 of the number of paths over that of the dense network; 0 for no path.",
        )
    )
    return f"""<h3>Nodes and paths against sparsity</h3>
<div class="pair">{figures}</div>
{method_legend(section)}
<p class="about">{_what_marks_are(section)} {_APART}</p>"""


def _what_marks_are(section: Section) -> str:
    if all(len(cell.rows) == 1 for cell in section.pruned):
        return "Each mark is one mask."
    words = escape(runs_words(section.pruned))
    return f"Each mark is the mean of {words}, its whiskers reach from the smallest to the largest."


def _counting(section: Section) -> str:
    meaning = {
        "exact": "every output channel of every prunable layer and every input channel of the network is a node",
        "paper": "nodes as the node-path paper counts them: input channels of convolutions, inputs and outputs of "
        "linear layers",
    }
    explained = meaning.get(section.convention)
    return escape(f"Convention “{section.convention}”" + (f": {explained}." if explained else "."))


def _table_notes(section: Section) -> str:
    seeds = runs_words(section.cells)
    accuracy = (
        "Accuracy last: test accuracy after the last epoch. Accuracy best: the highest of any epoch, chosen on the "
        "test set itself, hence optimistic. "
        if section.trained
        else ""
    )
    twice = ""
    if any(cell.seeds < len(cell.rows) for cell in section.cells):
        twice = "Some runs share method, sparsity and seed; each counts as a run of its own. "
    return (
        f"Means over {seeds} in each row; after ± the sample standard deviation, where there are at least two. "
        f"{accuracy}{twice}Masks without a path have path ratio 0 and enter neither the mean of log10 paths nor that "
        "of position. Position: 0 all in the nodes, 1 all in the paths. Click a header to sort."
    )


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return "</main>"
    paragraphs = "\n".join(f"<p>{escape(note)}</p>" for note in notes)
    return f'<section class="notes"><h2>Notes</h2>\n{paragraphs}</section></main>'


def _scripts(charts: Sequence[dict[str, Any]]) -> str:
    return f"""<noscript><p>The charts need JavaScript; the tables hold all their numbers.</p></noscript>
<script type="application/json" id="charts">{_json_in_html(charts)}</script>
<script>{_script_in_html(_vega())}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


@cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script, which puts `vegaEmbed` into `window`."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _prose(text: str) -> str:
    """Text as HTML in which no line breaks before a percent sign."""
    return escape(text).replace(" %", "&nbsp;%")


def _json_in_html(value: Any) -> str:
    """JSON in which no name can end the script element or open another."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _script_in_html(source: str) -> str:
    return source.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
