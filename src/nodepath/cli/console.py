"""What the command line prints: answers on stdout, everything else on stderr."""

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["answer", "note", "progress", "show_warnings"]


def answer(document: Mapping[str, Any], *lines: Any, as_json: bool) -> None:
    """Print a command's answer: one JSON document, or lines (strings, tables) for people."""
    if as_json:
        sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
        return
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    for line in lines:
        console.print(line, markup=False) if isinstance(line, str) else console.print(line)


def note(text: str) -> None:
    """Print a remark on stderr."""
    sys.stderr.write(f"{text}\n")


@contextmanager
def progress(title: str, total: int) -> Iterator[Any]:
    """A bar on a terminal, nothing in a pipe.

    Yields:
        A function to call with `advance=1` after each step, and `title=` to say what comes.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)

        def step(advance: float = 1, title: str | None = None) -> None:
            bar.update(task, advance=advance, description=title)

        yield step


def show_warnings() -> None:
    """Our warnings as one line on stderr, each once; others as Python shows them."""
    python = warnings.showwarning

    def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        if category.__module__.startswith("nodepath."):
            note(f"nodepath: warning: {message}")
        else:
            python(message, category, *rest, **more)

    warnings.showwarning = show
