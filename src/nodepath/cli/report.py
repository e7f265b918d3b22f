"""`nodepath report`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from nodepath.cli import options as o
from nodepath.cli.console import answer, note
from nodepath.errors import ArgumentError, RunError
from nodepath.report import Row, rows_from_results, summary_tables, two_sentences, write_page
from nodepath.runs import Record, read_records, unfinished

__all__ = ["report", "rows_of"]


def report(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="All finished runs below it are read.")],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="PAGE", help="The page to write, .html (or a folder).")
    ],
    convention: o.Convention = "exact",
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Heading of the page.")] = None,
    json: o.Json = False,
) -> None:
    """Turn run records into one page that opens from disk, without a network."""
    page = Path(output)
    if page.is_dir() or not page.suffix:
        page = page / "index.html"
    elif page.suffix.lower() not in (".html", ".htm"):
        raise ArgumentError(f"-o is '{output}'; end it in .html, or name a folder")
    records = read_records(directory)
    if not records:
        raise RunError(f"no finished run below '{directory}'; make one with `nodepath train ... -o {directory}`")
    waiting = unfinished(directory)
    if waiting:
        note(f"nodepath: left out runs that have not finished: {len(waiting)}; finish them with --resume")
    rows = rows_of(records, convention)
    write_page(rows, page, title=title or f"Runs in {Path(directory).resolve().name}")
    answer(
        {"page": str(page), "runs": len(records), "unfinished": len(waiting), "rows": [row.to_dict() for row in rows]},
        *summary_tables(rows),
        f"\n{two_sentences(rows)}\n\npage: {page}",
        as_json=json,
    )


def rows_of(records: Sequence[Record], convention: str = "exact") -> list[Row]:
    """Run records as rows; trainings that differ in more than mask and seed get a setting that tells them apart."""
    settings = [_setting(record) for record in records]
    varying = {key for one in settings for key in one if any(other.get(key) != one[key] for other in settings)}
    results: list[dict[str, Any]] = [
        {
            **record.result,
            "data": record.result["data_name"],
            "setting": ", ".join(f"{key} {value}" for key, value in sorted(setting.items()) if key in varying),
        }
        for record, setting in zip(records, settings, strict=True)
    ]
    return rows_from_results(results, convention=convention)  # type: ignore[arg-type]  # checked there


def _setting(record: Record) -> dict[str, Any]:
    """What decides a training besides model, data, method, sparsity and seed."""
    spec = record.spec
    setting = {**spec.train.model_dump(), "bn": spec.bn, "input": "x".join(map(str, record.result["input_size"]))}
    return {**setting, **{f"option {key}": value for key, value in spec.options.items()}}
