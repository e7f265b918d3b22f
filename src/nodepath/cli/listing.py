"""`nodepath methods`, `nodepath models`, `nodepath data`: what there is."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

import nodepath
from nodepath.cli import options as o
from nodepath.cli.console import answer

__all__ = ["cite", "data", "methods", "models"]


def methods(
    method: Annotated[
        str | None, typer.Argument(metavar="[METHOD]", help="One of them: its options and its cost.")
    ] = None,
    json: o.Json = False,
) -> None:
    """List the PaI methods: what each keeps, its year, whether it needs data, where it comes from."""
    entries = nodepath.methods.catalogue() if method is None else [nodepath.methods.entry(method)]
    rows = [_described(entry) for entry in entries]
    if method is not None:
        pairs = [(key, _shown(value)) for key, value in rows[0].items() if value not in (None, {}, "")]
        answer({"methods": rows}, _table(("", ""), pairs), as_json=json)
        return
    cells = [
        (e.name, e.year or "ours", "data" if e.needs_data else "", e.summary, e.reference.short if e.reference else "")
        for e in entries
    ]
    headings = ("method", "year", "needs", "what it does", "reference")
    more = "options and cost: nodepath methods METHOD; BibTeX: nodepath cite METHOD"
    answer({"methods": rows}, _table(headings, cells), more, as_json=json)


def _described(entry: nodepath.methods.Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "kind": entry.kind,
        "description": entry.summary,
        "year": entry.year,
        "needs_data": entry.needs_data,
        "cost": entry.cost,
        "options": entry.options,
        "reference": str(entry.reference) if entry.reference else None,
        "url": entry.reference.link if entry.reference else None,
    }


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={default}" for name, default in value.items())
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def cite(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A name of `nodepath methods`.")], json: o.Json = False
) -> None:
    """Print the BibTeX entry of a method's paper."""
    entry = nodepath.methods.cite(method)
    answer({"method": method, "bibtex": entry}, entry, as_json=json)


def models(json: o.Json = False) -> None:
    """List the models of the zoo; torchvision:NAME, timm:NAME and pkg.module:factory work too."""
    specs = [nodepath.models.describe(name) for name in nodepath.models.names()]
    rows: list[dict[str, Any]] = [
        {
            "name": spec.name,
            "input": list(spec.input_size or ()),
            "num_classes": spec.num_classes,
            "description": spec.description,
        }
        for spec in specs
    ]
    cells = [(r["name"], "x".join(map(str, r["input"])), str(r["num_classes"]), r["description"]) for r in rows]
    answer(
        {"models": rows},
        _table(("model", "input", "classes", "what it is"), cells),
        "also: torchvision:NAME, timm:NAME, pkg.module:factory",
        as_json=json,
    )


def data(json: o.Json = False) -> None:
    """List the data sets that need no folder, and the formats that are read from one."""
    rows: list[dict[str, Any]] = []
    for name in nodepath.data.names():
        dataset = nodepath.data.load(name)
        rows.append(
            {
                "name": name,
                "train": len(dataset.train.labels),
                "test": len(dataset.test.labels),
                "image": [dataset.channels, *dataset.image_size],
                "num_classes": dataset.num_classes,
                "description": dataset.description,
            }
        )
    formats = nodepath.data.FORMATS.names()
    cells = [(r["name"], f"{r['train']} / {r['test']}", "x".join(map(str, r["image"])), r["description"]) for r in rows]
    answer(
        {"data": rows, "formats": formats},
        _table(("data set", "train / test", "image", "what it is"), cells),
        f"or a folder that holds one of: {', '.join(formats)}",
        as_json=json,
    )


def _table(headings: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for position, heading in enumerate(headings):
        table.add_column(heading, no_wrap=position == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table
