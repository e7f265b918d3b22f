"""`nodepath demo`: the whole path on real images, in minutes."""

import time
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from nodepath import data as datasets
from nodepath.atomic import check_writable
from nodepath.cli import options as o
from nodepath.cli.console import answer, note, progress
from nodepath.cli.report import rows_of
from nodepath.report import summary_tables, two_sentences, write_page
from nodepath.runs import DENSE, RunSpec, execute_all
from nodepath.train import Recipe

__all__ = ["demo"]

MODEL = "convnet4"
METHODS = ("random", "erk", "snip", "synflow", "synflow-npb", "npb", "npb-even")
SPARSITIES = (0.9, 0.97, 0.99)
SEEDS = (0, 1)
RECIPE = Recipe(epochs=12, batch_size=64, lr=0.1, schedule="cosine", crop=0.0625)


def demo(
    output: Annotated[str, typer.Option("-o", "--output", metavar="DIR", help="Where runs and page go.")] = "demo",
    json: o.Json = False,
) -> None:
    """Prune, measure, train and compare on handwritten digits: seven methods, three sparsities, two seeds."""
    began = time.monotonic()
    check_writable(Path(output) / "index.html")
    specs = [
        RunSpec(model=MODEL, data="digits", method=method, sparsity=sparsity, seed=seed, train=RECIPE)
        for seed, (method, sparsity) in product(SEEDS, [(DENSE, 0.0), *product(METHODS, SPARSITIES)])
    ]
    note(f"{MODEL} on digits: {len(specs)} trainings of {RECIPE.epochs} epochs; finished ones in {output} are kept")
    with progress("pruning and training", len(specs)) as step:
        records = execute_all(specs, output, on_run=lambda _: step())
    rows = rows_of(records)
    page = Path(output) / "index.html"
    sentences = two_sentences(rows)
    write_page(
        rows,
        page,
        title="nodepath demo: pruning at initialization on handwritten digits",
        notes=[datasets.load("digits").description],
    )
    seconds = time.monotonic() - began
    answer(
        {
            "page": str(page),
            "runs": len(records),
            "seconds": seconds,
            "sentences": sentences,
            "rows": [row.to_dict() for row in rows],
        },
        *summary_tables(rows),
        f"\n{sentences}\n\n{len(records)} runs in {seconds:.0f} s; open the page: {page.resolve()}",
        as_json=json,
    )
