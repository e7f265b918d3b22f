"""`nodepath prune`."""

from pathlib import Path
from typing import Annotated

import typer

import nodepath
from nodepath.cli import options as o
from nodepath.cli.console import answer
from nodepath.cli.measure import topology_lines
from nodepath.cli.subject import Subject
from nodepath.errors import ArgumentError

__all__ = ["prune"]


def prune(
    model: o.Model,
    method: Annotated[str, typer.Option("--method", metavar="M", help="See `nodepath methods`.")],
    sparsity: Annotated[float, typer.Option("--sparsity", metavar="S", help="Fraction of weights removed, in [0, 1).")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="F", help="The mask file to write, .safetensors.")],
    input: o.Input = None,
    num_classes: o.NumClasses = None,
    weights: o.Weights = None,
    data: o.Data = None,
    label_column: o.LabelColumn = None,
    seed: o.Seed = 0,
    device: o.Device = "cpu",
    bn: o.Bn = None,
    scope: o.Scope = None,
    include: o.Include = None,
    exclude: o.Exclude = None,
    on_collapse: o.OnCollapse = "error",
    resolution: o.Resolution = "pixel",
    option: o.Options = None,
    json: o.Json = False,
) -> None:
    """Choose which weights to keep, and write them to a mask file."""
    chosen = o.options_from(option)
    nodepath.methods.create(method, **chosen)  # a mistake here shows before any data are read
    if Path(output).suffix != ".safetensors":
        raise ArgumentError(f"-o is '{output}'; mask files are safetensors, so end it in .safetensors")
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
    masks = nodepath.prune(
        subject.model,
        subject.x,
        method,
        sparsity=sparsity,
        seed=seed,
        batch=subject.batch_for(method, seed, **chosen),
        bn=bn,
        scope=scope,
        include=include,
        exclude=exclude,
        on_collapse=on_collapse,
        resolution=resolution,
        **chosen,
    )
    masks.save(output)
    topology = nodepath.measure(subject.model, subject.x, masks, resolution=resolution)
    document = {
        "model": model,
        "method": method,
        "seed": seed,
        "output": output,
        "hash": masks.hash,
        "kept": masks.kept,
        "sparsity": masks.sparsity,
        "topology": topology.to_dict(),
        "metadata": masks.metadata,
    }
    answer(document, *topology_lines(topology), f"written to {output}", as_json=json)
