"""The `nodepath` command."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from nodepath import __version__
from nodepath.cli.compare import compare
from nodepath.cli.console import note, show_warnings
from nodepath.cli.demo import demo
from nodepath.cli.listing import cite, data, methods, models
from nodepath.cli.measure import measure
from nodepath.cli.prune import prune
from nodepath.cli.report import report
from nodepath.cli.train import train
from nodepath.errors import NodepathError

__all__ = ["app", "main"]

# The base of typer's errors: click's own class, or that of the copy which newer typers carry.
_UsageError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

MISTAKE = 2
"""Exit code for a mistake of the user's."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Prune neural networks at initialization, see the paths and nodes that are left, train them.",
)
for _command in (prune, measure, compare, train, report, demo, methods, cite, models, data):
    app.command()(_command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nodepath {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    del version


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0, or 2 with one line that says what, where, which value, and the way out."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # so that pkg.module:factory finds a module beside the user, as `python -m` would
    show_warnings()
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name="nodepath", standalone_mode=False)
    except NodepathError as error:
        note(f"nodepath: {error}")
        return MISTAKE
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        message = " ".join(error.format_message().split()).rstrip(".") or "nothing to do"
        note(f"nodepath: {message}; see `{context.command_path if context else 'nodepath'} --help`")
        return MISTAKE
    except (KeyboardInterrupt, typer.Abort):
        note("nodepath: interrupted; `nodepath train --resume` goes on where it stopped")
        return 130
    except BrokenPipeError:
        return 0
    return code if isinstance(code, int) else 0
