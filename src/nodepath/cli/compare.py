"""`nodepath compare`."""

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

import nodepath
from nodepath.atomic import check_writable
from nodepath.cli import options as o
from nodepath.cli.console import answer, note, progress
from nodepath.cli.refusals import Refusal, refusal_sentences
from nodepath.cli.subject import Subject
from nodepath.errors import ArgumentError, NodepathError
from nodepath.methods import needs_batch
from nodepath.report import PLANE_SUFFIXES, rows_from_results, summary_tables, write_plane

__all__ = ["compare"]

ALL = "all"
"""Stands for every method: those that refuse are reported and the others go on."""


def compare(
    model: o.Model,
    sparsities: Annotated[str, typer.Option("--sparsities", metavar="S,S", help="Fractions removed, e.g. 0.9,0.99.")],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help=f"A file ({', '.join(PLANE_SUFFIXES)}) or a folder for page and figure.",
        ),
    ],
    methods: Annotated[str, typer.Option("--methods", metavar="A,B|all", help="Methods, or all of them.")] = ALL,
    data: o.Data = None,
    label_column: o.LabelColumn = None,
    convention: o.Convention = "exact",
    resolution: o.Resolution = "pixel",
    input: o.Input = None,
    num_classes: o.NumClasses = None,
    weights: o.Weights = None,
    seed: o.Seed = 0,
    device: o.Device = "cpu",
    bn: o.Bn = None,
    json: o.Json = False,
) -> None:
    """Draw the node-path plane: where each method stands at each sparsity, without any training."""
    levels = o.fractions(sparsities, "--sparsities")
    files = _files(Path(output))
    check_writable(files[0])
    every = methods == ALL
    chosen, skipped = _methods(methods, has_data=data is not None)
    subject = Subject.of(
        model,
        input=input,
        num_classes=num_classes,
        seed=seed,
        device=device,
        weights=weights,
        data_name=data,
        label_column=label_column,
    )
    left_out = [f"skipped, for want of data: {', '.join(skipped)}; pass --data D"] if skipped else []
    for sentence in left_out:
        note(f"nodepath: {sentence}")
    results: list[dict[str, Any]] = []
    refused: list[Refusal] = []
    with progress("pruning", len(chosen) * len(levels)) as step:
        for method, sparsity in product(chosen, levels):
            step(0, title=f"{method} at {100 * sparsity:g} %")
            try:
                masks = nodepath.prune(
                    subject.model,
                    subject.x,
                    method,
                    sparsity=sparsity,
                    seed=seed,
                    batch=subject.batch_for(method, seed),
                    bn=bn,
                    on_collapse="warn",
                    resolution=resolution,
                )
                topology = nodepath.measure(
                    subject.model, subject.x, masks, convention=convention, resolution=resolution
                )
            except NodepathError as error:
                refused.append(Refusal(method, sparsity, error))
                if not every:  # whoever names a method wants to know at once that it cannot be had
                    break
            else:
                results.append(
                    {
                        "model": model,
                        "data": data or "",
                        "method": method,
                        "sparsity": sparsity,
                        "seed": seed,
                        "kept": masks.kept,
                        "hash": masks.hash,
                        "mask_origin": masks.metadata,
                        "topology": topology.to_dict(),
                    }
                )
            step()
    if not results:
        raise refused[0].error
    if every:
        for sentence in (sentences := refusal_sentences(refused)):
            note(f"nodepath: {sentence}")
        left_out += sentences
    rows = rows_from_results(results)
    for file in files:
        write_plane(rows, file, title=f"{model}: the node-path plane", notes=left_out)
    written = ", ".join(map(str, files))
    if refused and not every:
        raise refused[0].after(written)
    answer(
        {
            "results": results,
            "skipped": skipped,
            "refused": [refusal.to_dict() for refusal in refused],
            "files": [str(file) for file in files],
        },
        *summary_tables(rows),
        f"\nwritten to {written}",
        as_json=json,
    )


def _files(output: Path) -> list[Path]:
    if output.suffix.lower() in PLANE_SUFFIXES:
        return [output]
    if output.suffix and not output.is_dir():
        raise ArgumentError(f"-o is '{output}'; end it in {', '.join(PLANE_SUFFIXES)}, or name a folder")
    return [output / f"plane{suffix}" for suffix in (".html", ".svg", ".json")]


def _methods(wanted: str, *, has_data: bool) -> tuple[list[str], list[str]]:
    """The methods to compare, and those left out for want of data.

    Raises:
        UnknownNameError: No such method.
        ArgumentError: A method that was named needs data, and there are none.
    """
    if wanted == ALL:
        known = nodepath.methods.names()
        return [n for n in known if has_data or not needs_batch(n)], [
            n for n in known if needs_batch(n) and not has_data
        ]
    chosen = o.names_in(wanted, "--methods")
    for name in chosen:
        if needs_batch(name) and not has_data:
            raise ArgumentError(f"method '{name}' needs data; pass --data D (`nodepath data` lists what is known)")
    return chosen, []
