"""The node-path plane of masks that nobody has trained yet, in the format that a file's name asks for."""

import json
from collections.abc import Sequence
from pathlib import Path

from nodepath.atomic import write_atomically
from nodepath.errors import ArgumentError, WriteError
from nodepath.report.cells import sections
from nodepath.report.figure import save_figure
from nodepath.report.page import write_page
from nodepath.report.rows import Row

__all__ = ["PLANE_SUFFIXES", "write_plane"]

PLANE_SUFFIXES = (".html", ".json", ".pdf", ".png", ".svg")


def write_plane(
    rows: Sequence[Row], path: str | Path, *, title: str = "The node-path plane", notes: Sequence[str] = ()
) -> None:
    """Write the node-path plane: node ratio against path ratio, a mark for each method and sparsity.

    Args:
        rows: At least one.
        path: `.html` gives a self-contained page, `.png`, `.svg` and `.pdf` a figure for papers, `.json` the rows
            (a list of objects; -inf and NaN are null). Missing folders are made, a file there is replaced.
        title: Heading of the page; the figure has none.
        notes: Remarks at the end of the page.

    Raises:
        ArgumentError: The suffix is none of these, `path` is a folder, or there are no rows.
        WriteError: The system refuses to write there.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in PLANE_SUFFIXES:
        raise ArgumentError(f"'{path}' ends in '{path.suffix}'; known: {', '.join(PLANE_SUFFIXES)}")
    if path.is_dir():
        raise ArgumentError(f"'{path}' is a folder; name a file in it, e.g. '{path / 'plane.html'}'")
    sections(rows)
    if suffix == ".html":
        write_page(rows, path, title=title, notes=notes)
    elif suffix == ".json":
        text = json.dumps([row.to_dict() for row in rows], indent=1, allow_nan=False)
        write_atomically(path, f"{text}\n".encode(), WriteError)
    else:
        save_figure(rows, path)
