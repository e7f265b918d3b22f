"""The options that several commands share, and how their values are read."""

import ast
from typing import Annotated, Any

import typer

from nodepath.errors import ArgumentError

__all__ = [
    "Bn",
    "Convention",
    "Data",
    "Device",
    "Exclude",
    "Include",
    "Input",
    "Json",
    "LabelColumn",
    "Masks",
    "Model",
    "NumClasses",
    "OnCollapse",
    "Options",
    "Resolution",
    "Scope",
    "Seed",
    "Weights",
    "fractions",
    "names_in",
    "options_from",
    "size_from",
]

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A zoo name (`nodepath models`), torchvision:NAME, timm:NAME or pkg.module:factory."
    ),
]
Data = Annotated[str | None, typer.Option("--data", metavar="D", help="A data set's name (`nodepath data`) or folder.")]
LabelColumn = Annotated[
    str | None, typer.Option("--label-column", metavar="COLUMN", help="Which column holds the labels, if several do.")
]
Input = Annotated[
    str | None,
    typer.Option("--input", metavar="CxHxW", help="Example input, e.g. 3x32x32. Default: what the model is made for."),
]
NumClasses = Annotated[
    int | None, typer.Option("--num-classes", metavar="N", help="Outputs of the model. Default: the data's or its own.")
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="F", help="Weights to load: a state dict as .safetensors, or .pt (no pickled code)."
    ),
]
Masks = Annotated[str | None, typer.Option("--masks", metavar="F", help="A mask file of `nodepath prune`.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the weights and the method.")]
Device = Annotated[str, typer.Option("--device", metavar="D", help="cpu, cuda, cuda:1, mps ...")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, everything else on stderr.")]
Convention = Annotated[str, typer.Option("--convention", metavar="exact|paper", help="Which nodes count.")]
Resolution = Annotated[
    str,
    typer.Option(
        "--resolution",
        metavar="pixel|channel",
        help="Paths from pixel to pixel, or from channel to channel: faster, and the image size costs nothing.",
    ),
]
Bn = Annotated[
    str | None,
    typer.Option(
        "--bn", metavar="MODE", help="BatchNorm while scoring: eval-identity, frozen, train-batch, warmed-up."
    ),
]
Scope = Annotated[
    str | None,
    typer.Option("--scope", metavar="SCOPE", help="How weights compete: global, layerwise or a budget's name."),
]
Include = Annotated[
    list[str] | None, typer.Option("--include", metavar="PATTERN", help="Prune only parameters that match; repeatable.")
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="PATTERN", help="Leave parameters that match dense; repeatable."),
]
OnCollapse = Annotated[
    str, typer.Option("--on-collapse", metavar="POLICY", help="error, warn or keep-one: when pruning cuts the network.")
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option", "-O", metavar="KEY=VALUE", help="An option of the method, e.g. -O iterations=50; repeatable."
    ),
]


def size_from(text: str | None) -> tuple[int, int, int] | None:
    """`3x32x32` as (3, 32, 32).

    Raises:
        ArgumentError: Not positive whole numbers joined by x.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ArgumentError(f"--input is '{text}'; write channels, height and width as in 3x32x32")
    channels, height, width = map(int, parts)
    return channels, height, width


def options_from(pairs: list[str] | None) -> dict[str, Any]:
    """`["alpha=.5", "cells=random"]` as `{"alpha": 0.5, "cells": "random"}`.

    Raises:
        ArgumentError: Not KEY=VALUE, or a key twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not (key.isidentifier() and equals):
            raise ArgumentError(f"--option is '{pair}'; write KEY=VALUE, e.g. -O iterations=50")
        if key in found:
            raise ArgumentError(f"--option {key} is given twice; give it once")
        found[key] = _value(text)
    return found


def _value(text: str) -> Any:
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def fractions(text: str, option: str) -> list[float]:
    """`.9,.99` as [0.9, 0.99].

    Raises:
        ArgumentError: An entry is no number in [0, 1).
    """
    found = []
    for part in names_in(text, option):
        try:
            value = float(part)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1:
            raise ArgumentError(
                f"{option} has '{part}'; write fractions removed in [0, 1) joined by commas, e.g. 0.9,0.99"
            )
        found.append(value)
    return found


def names_in(text: str, option: str) -> list[str]:
    """`a,b` as ["a", "b"], each once.

    Raises:
        ArgumentError: Nothing in it.
    """
    found = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise ArgumentError(f"{option} is empty; write at least one entry")
    return found
