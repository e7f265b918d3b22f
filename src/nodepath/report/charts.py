"""The charts of the page as Vega-Lite specifications: plain JSON, with the data inside.

Text and axes take the colour of the page's text (`currentColor`), so they follow light and dark by themselves.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from nodepath.report.cells import Cell, Section, Spread
from nodepath.report.legend import areas
from nodepath.report.palette import colours, shapes
from nodepath.report.wording import collapse_words, percent, runs_words, sparsity_words

__all__ = ["accuracy_chart", "plane_chart", "ratio_chart"]

Spec = dict[str, Any]

_FAINT = "#88888866"
# The methods' legends are in HTML (legend.py).
_FRAME: Spec = {
    "width": "container",
    "autosize": {"type": "fit-x", "contains": "padding"},
    "background": "transparent",
    "config": {
        "font": "system-ui, sans-serif",
        "view": {"stroke": _FAINT},
        "axis": {
            "labelColor": "currentColor",
            "titleColor": "currentColor",
            "gridColor": "#88888833",
            "domainColor": _FAINT,
            "tickColor": _FAINT,
            "labelFontSize": 12,
            "titleFontSize": 13,
            "titleFontWeight": "normal",
        },
        "legend": {
            "labelColor": "currentColor",
            "titleColor": "currentColor",
            "orient": "bottom",
            "direction": "horizontal",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
        },
        "text": {"color": "currentColor", "fontSize": 12},
    },
}


def plane_chart(section: Section) -> Spec:
    """The node-path plane: node ratio against path ratio, a mark for each method and sparsity.

    Coloured by the mean accuracy of the last epoch if there is one, else by method. Masks without a path stand at
    their ratios, 0 and 0, grey and named. Whiskers reach from the smallest to the largest value of the cell.
    """
    size = dict(zip(section.sparsities, areas(section.sparsities), strict=True))
    marks = [{**_plane_mark(cell), "area": size[cell.sparsity]} for cell in section.pruned]
    layers: list[Spec] = [
        {
            "data": {"name": "marks"},
            "mark": {"type": "line", "stroke": "#888888", "opacity": 0.35, "strokeWidth": 1, "aria": False},
            "encoding": {
                **_xy(),
                "detail": {"field": "method"},
                "order": {"field": "sparsity", "type": "quantitative"},
            },
        },
        _whisker("x", "x_low", "x_high", "y"),
        _whisker("y", "y_low", "y_high", "x"),
        {
            "data": {"name": "marks"},
            "mark": {
                "type": "point",
                "filled": True,
                "opacity": 1,
                "stroke": "currentColor",
                "strokeWidth": 1,
                "aria": False,
            },
            "encoding": {
                **_xy(),
                "shape": _shape(section),
                "size": {"field": "area", "type": "quantitative", "scale": None, "legend": None},
                "color": _plane_colour(section),
                "tooltip": _tooltips(marks),
            },
        },
        _collapse_labels(marks),
    ]
    if section.dense:
        layers.append(
            {
                "data": {"values": [{"x": 1, "y": 1, "label": "dense"}]},
                "mark": {"type": "text", "align": "right", "dx": -6, "dy": 8, "aria": False},
                "encoding": {**_xy(), "text": {"field": "label"}},
            }
        )
    return {
        **_FRAME,
        "description": f"Node-path plane of {section.title}: node ratio against path ratio, {len(marks)} marks, "
        "one for each method and sparsity. The numbers are in the table below.",
        "height": 400,
        "datasets": {"marks": marks},
        "layer": layers,
    }


def accuracy_chart(section: Section) -> Spec:
    """Accuracy of the last epoch against sparsity: each run, and a line through the means of each method."""
    return _against_sparsity(section, "accuracy_last", "test accuracy, last epoch", runs=True)


def ratio_chart(section: Section, name: str) -> Spec:
    """`node_ratio` or `path_ratio` against sparsity: a line through the means of each method."""
    title = {"node_ratio": "node ratio", "path_ratio": "path ratio"}[name]
    return _against_sparsity(section, name, title, runs=False)


def _against_sparsity(section: Section, name: str, title: str, *, runs: bool) -> Spec:
    shift = _shifts(section)
    off = [cell for cell in section.pruned if runs and _off_scale(cell, section)]
    shown = [cell for cell in section.pruned if cell not in off]
    spreads = [(cell, spread) for cell in shown if (spread := cell.spread(name))]
    means = [_mean_mark(cell, spread, name, shift) for cell, spread in spreads]
    points = [
        {"method": cell.method, "x": mean["x"], "y": getattr(row, name)}
        for (cell, _), mean in zip(spreads, means, strict=True)
        for row in cell.rows
        if getattr(row, name) is not None
    ]
    domain = _accuracy_domain(section, points, len(off)) if runs else [0, 1]
    x, colour, shape = _density_axis(section), _method_colour(section), _shape(section)
    y: Spec = {
        "field": "y",
        "type": "quantitative",
        "title": title,
        "scale": {"domain": domain},
        "axis": {"format": ".3~%"} if runs else {"format": ".1f"},
    }
    xy = {"x": x, "y": y, "color": colour}
    layers: list[Spec] = [
        *_dense_reference(section, name, y),
        {
            "data": {"name": "means"},
            "mark": {"type": "line", "strokeWidth": 1.5, "opacity": 0.8, "aria": False},
            "encoding": xy,
        },
        {
            "data": {"name": "means"},
            "mark": {"type": "rule", "strokeWidth": 1.5, "aria": False},
            "encoding": {**xy, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
        },
    ]
    if runs:
        layers.append(
            {
                "data": {"name": "runs"},
                "mark": {"type": "point", "shape": "circle", "size": 18, "filled": False, "aria": False},
                "encoding": xy,
            }
        )
    layers.append(
        {
            "data": {"name": "means"},
            "mark": {"type": "point", "filled": True, "size": 95, "opacity": 1, "aria": False},
            "encoding": {**xy, "shape": shape, "tooltip": _tooltips(means)},
        }
    )
    layers += _off_scale_marks(off, name, shift, domain[0], {**xy, "shape": shape})
    return {
        **_FRAME,
        "description": f"{title} against sparsity for {section.title}, a line for each of {len(section.methods)} "
        "methods. The numbers are in the table below.",
        "height": 340 if runs else 280,
        "datasets": {"means": means, **({"runs": points} if runs else {})},
        "layer": layers,
    }


def _off_scale(cell: Cell, section: Section) -> bool:
    """Whether no run of the cell has a path while others have: its accuracy would flatten all other differences."""
    return cell.collapsed == len(cell.rows) and any(not row.collapsed for row in section.rows)


def _accuracy_domain(section: Section, points: Sequence[Spec], off: int) -> list[float]:
    dense = section.dense.spread("accuracy_last") if section.dense else None
    values = [point["y"] for point in points] + ([dense.low, dense.high] if dense else [])
    if not values:
        return [0, 1]
    margin = max(0.005, 0.06 * (max(values) - min(values)))
    # Room for the labels of what is off the scale.
    below = margin * (4 if off else 1)
    return [max(0, min(values) - below), min(1, max(values) + margin)]


def _off_scale_marks(
    cells: Sequence[Cell], name: str, shift: dict[str, float], bottom: float, encoding: Spec
) -> list[Spec]:
    """A hollow mark at the lower edge for each cell that is off the scale, and one label for each sparsity."""
    found = [(cell, spread) for cell in cells if (spread := cell.spread(name))]
    marks = [{**_mean_mark(cell, spread, name, shift), "y": bottom} for cell, spread in found]
    if not marks:
        return []
    labels: dict[float, list[str]] = {}
    for cell, spread in found:
        labels.setdefault(cell.sparsity, []).append(f"{cell.method}: no path, {percent(spread.mean)}")
    texts = [
        {"x": 1 - sparsity, "y": bottom, "label": line, "line": index}
        for sparsity, lines in labels.items()
        for index, line in enumerate(lines)
    ]
    hollow = {"type": "point", "filled": False, "size": 95, "strokeWidth": 2, "opacity": 1, "aria": False}
    written = [
        {
            "data": {"values": [text for text in texts if text["line"] == index]},
            "mark": {"type": "text", "align": "right", "dx": 14, "dy": -14 - 15 * index, "aria": False},
            "encoding": {"x": encoding["x"], "y": encoding["y"], "text": {"field": "label"}},
        }
        for index in range(max(len(lines) for lines in labels.values()))
    ]
    tips = {**encoding, "tooltip": _tooltips(marks)}
    return [{"data": {"values": marks}, "mark": hollow, "encoding": tips}, *written]


def _plane_mark(cell: Cell) -> Spec:
    nodes, paths, accuracy = (
        _required(cell, "node_ratio"),
        _required(cell, "path_ratio"),
        cell.spread("accuracy_last"),
    )
    return {
        "method": cell.method,
        "sparsity": cell.sparsity,
        "level": sparsity_words(cell.sparsity),
        "x": nodes.mean,
        "x_low": nodes.low,
        "x_high": nodes.high,
        "y": paths.mean,
        "y_low": paths.low,
        "y_high": paths.high,
        "accuracy": accuracy.mean if accuracy else None,
        "collapsed": collapse_words(cell),
        "tip: method": cell.method,
        "tip: sparsity": sparsity_words(cell.sparsity),
        "tip: node ratio": f"{nodes.mean:.3f}",
        "tip: path ratio": f"{paths.mean:.3f}" + (f" ({collapse_words(cell)})" if cell.collapsed else ""),
        **({"tip: accuracy, last": percent(accuracy.mean)} if accuracy else {}),
        "tip: mean of": runs_words([cell]),
    }


def _mean_mark(cell: Cell, spread: Spread, name: str, shift: dict[str, float]) -> Spec:
    words = percent if name == "accuracy_last" else "{:.3f}".format
    return {
        "method": cell.method,
        "x": (1 - cell.sparsity) * shift[cell.method],
        "y": spread.mean,
        "low": spread.low,
        "high": spread.high,
        "tip: method": cell.method,
        "tip: sparsity": sparsity_words(cell.sparsity),
        "tip: mean": words(spread.mean),
        "tip: range": f"{words(spread.low)} to {words(spread.high)}",
        "tip: from": runs_words([cell]),
        **({"tip: note": collapse_words(cell)} if cell.collapsed else {}),
    }


def _required(cell: Cell, name: str) -> Spread:
    spread = cell.spread(name)
    assert spread is not None, f"every row has a {name}"
    return spread


def _xy() -> Spec:
    scale = {"domain": [0, 1]}
    axis = {"values": [0, 0.2, 0.4, 0.6, 0.8, 1], "format": ".1f"}
    return {
        "x": {"field": "x", "type": "quantitative", "title": "node ratio (wider →)", "scale": scale, "axis": axis},
        "y": {"field": "y", "type": "quantitative", "title": "path ratio (more paths →)", "scale": scale, "axis": axis},
    }


def _whisker(axis: str, low: str, high: str, other: str) -> Spec:
    xy = _xy()
    return {
        "data": {"name": "marks"},
        "mark": {"type": "rule", "stroke": "currentColor", "opacity": 0.5, "aria": False},
        "encoding": {axis: {**xy[axis], "field": low}, f"{axis}2": {"field": high}, other: xy[other]},
    }


def _shape(section: Section) -> Spec:
    methods = section.methods
    return {
        "field": "method",
        "type": "nominal",
        "scale": {"domain": methods, "range": shapes(methods)},
        "legend": None,
    }


def _method_colour(section: Section) -> Spec:
    methods = section.methods
    return {
        "field": "method",
        "type": "nominal",
        "scale": {"domain": methods, "range": colours(methods)},
        "legend": None,
    }


def _plane_colour(section: Section) -> Spec:
    """By accuracy; a mask without a path learns nothing, and its accuracy would stretch the scale for all others."""
    alive = [cell for cell in section.pruned if not cell.collapsed]
    known = [spread.mean for cell in alive if (spread := cell.spread("accuracy_last"))]
    if not known:
        return _method_colour(section)
    return {
        "condition": {"test": "datum.collapsed != '' || datum.accuracy == null", "value": "#888888"},
        "field": "accuracy",
        "type": "quantitative",
        "scale": {"scheme": "viridis", "domain": [min(known), max(known)], "clamp": True},
        "legend": {
            "title": "test accuracy, last epoch",
            "format": ".1~%",
            "gradientLength": 220,
            "tickCount": 4,
        },
    }


def _collapse_labels(marks: Sequence[Spec]) -> Spec:
    """One label a place, so that several masks at 0 do not print over each other."""
    places: dict[tuple[float, float], list[Spec]] = {}
    for mark in marks:
        if mark["collapsed"]:
            places.setdefault((mark["x"], mark["y"]), []).append(mark)
    values = [
        {"x": x, "y": y, "label": "; ".join(f"{m['method']} {m['level']}: {m['collapsed']}" for m in here)}
        for (x, y), here in places.items()
    ]
    return {
        "data": {"values": values},
        "mark": {"type": "text", "align": "left", "dx": 10, "dy": -8, "limit": 260, "aria": False},
        "encoding": {**_xy(), "text": {"field": "label"}},
    }


def _tooltips(marks: Sequence[Spec]) -> list[Spec]:
    names = list(dict.fromkeys(name for mark in marks for name in mark if name.startswith("tip: ")))
    return [{"field": name, "type": "nominal", "title": name.removeprefix("tip: ")} for name in names]


def _density_axis(section: Section) -> Spec:
    """Log density, falling, so that 90, 97 and 99 % stand well apart; labelled with sparsities."""
    densities = [1 - sparsity for sparsity in section.sparsities]
    margin = 10 ** (0.08 * _decades(section))
    return {
        "field": "x",
        "type": "quantitative",
        "title": "sparsity",
        "scale": {
            "type": "log",
            "domain": [min(densities) / margin, max(densities) * margin],
            "nice": False,
            "reverse": True,
        },
        "axis": {
            "values": densities,
            "labelExpr": "format(round((1 - datum.value) * 1e9) / 1e7, '.9~g') + ' %'",
            "labelOverlap": "greedy",
            "grid": False,
        },
    }


def _decades(section: Section) -> float:
    levels = section.sparsities
    return max(0.3, math.log10((1 - levels[0]) / (1 - levels[-1])))


def _shifts(section: Section) -> dict[str, float]:
    """Factors on the density that set the methods a little apart, so that their marks do not hide each other."""
    logs = [math.log10(1 - sparsity) for sparsity in section.sparsities]
    gaps = [left - right for left, right in pairwise(logs)]
    count = len(section.methods)
    step = min([0.012 * _decades(section), *(0.6 * gap / count for gap in gaps)])
    return {method: 10 ** (step * ((count - 1) / 2 - index)) for index, method in enumerate(section.methods)}


def _dense_reference(section: Section, name: str, y: Spec) -> list[Spec]:
    spread = section.dense.spread(name) if section.dense else None
    # The ratios of the dense network are 1 by definition: no line needed.
    if spread is None or name != "accuracy_last":
        return []
    values = [{"y": spread.mean, "low": spread.low, "high": spread.high, "label": f"dense {percent(spread.mean)}"}]
    return [
        {
            "data": {"values": values},
            "mark": {"type": "rect", "fill": "#888888", "opacity": 0.2, "aria": False},
            "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
        },
        {
            "data": {"values": values},
            "mark": {"type": "rule", "stroke": "currentColor", "strokeDash": [5, 4], "aria": False},
            "encoding": {"y": y},
        },
        {
            "data": {"values": values},
            "mark": {"type": "text", "align": "right", "baseline": "bottom", "dx": -4, "dy": -3, "aria": False},
            "encoding": {"y": y, "x": {"value": "width"}, "text": {"field": "label"}},
        },
    ]
