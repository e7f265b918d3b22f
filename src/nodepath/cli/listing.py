"""`nodepath methods`, `nodepath models`, `nodepath data`: what there is."""

from collections.abc import Sequence
from typing import Any

import nodepath
from nodepath.cli import options as o
from nodepath.cli.console import answer

__all__ = ["data", "methods", "models"]


def methods(json: o.Json = False) -> None:
    """List the PaI methods."""
    known = nodepath.methods
    rows = [{"name": n, "needs_data": known.needs_batch(n), "description": known.describe(n)} for n in known.names()]
    cells = [(r["name"], "data" if r["needs_data"] else "", r["description"]) for r in rows]
    answer({"methods": rows}, _table(("method", "needs", "what it does"), cells), as_json=json)


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
