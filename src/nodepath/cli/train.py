"""`nodepath train`."""

from typing import Annotated, Any

import typer

from nodepath import data as datasets
from nodepath.cli import options as o
from nodepath.cli.console import answer, note, progress
from nodepath.errors import ArgumentError
from nodepath.runs import DENSE, RunSpec, execute
from nodepath.train import EpochRecord, Recipe

__all__ = ["train"]


def train(
    model: o.Model,
    data: Annotated[str, typer.Option("--data", metavar="D", help="A data set's name (`nodepath data`) or folder.")],
    method: Annotated[str, typer.Option("--method", metavar="M", help=f"See `nodepath methods`; '{DENSE}': unpruned.")],
    epochs: Annotated[int, typer.Option("--epochs", metavar="E", help="Passes over the train split.")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="DIR", help="Holds the run in DIR/runs/<hash>.")],
    sparsity: Annotated[
        float | None, typer.Option("--sparsity", metavar="S", help="Fraction of weights removed.")
    ] = None,
    seed: o.Seed = 0,
    weight_seed: Annotated[int | None, typer.Option(metavar="N", help="Of the weights alone.")] = None,
    mask_seed: Annotated[int | None, typer.Option(metavar="N", help="Of the mask alone.")] = None,
    order_seed: Annotated[int | None, typer.Option(metavar="N", help="Of the order of images alone.")] = None,
    augment_seed: Annotated[int | None, typer.Option(metavar="N", help="Of the augmentation alone.")] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Images a step. (default 128)")] = None,
    lr: Annotated[float | None, typer.Option(metavar="X", help="Step size at its highest. (default 0.1)")] = None,
    momentum: Annotated[float | None, typer.Option(metavar="X", help="Of SGD. (default 0.9)")] = None,
    nesterov: Annotated[bool, typer.Option("--nesterov", help="Nesterov's momentum.")] = False,
    weight_decay: Annotated[float | None, typer.Option(metavar="X", help="L2 penalty. (default 0.0001)")] = None,
    schedule: Annotated[str | None, typer.Option(metavar="step|cosine|constant", help="(default step)")] = None,
    warmup_epochs: Annotated[float | None, typer.Option(metavar="X", help="Rise to the full step size.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(metavar="X", help="In training. (default 0)")] = None,
    crop: Annotated[float | None, typer.Option(metavar="X", help="Largest shift, of the side. (default 0.125)")] = None,
    flip: Annotated[bool | None, typer.Option(help="Mirror images. (default: natural images only)")] = None,
    input: o.Input = None,
    num_classes: o.NumClasses = None,
    label_column: o.LabelColumn = None,
    bn: o.Bn = None,
    on_collapse: o.OnCollapse = "error",
    option: o.Options = None,
    device: o.Device = "cpu",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run; fine with a finished one.")
    ] = False,
    json: o.Json = False,
) -> None:
    """Prune a model, train it, and leave a record."""
    if sparsity is None and method != DENSE:
        raise ArgumentError(f"--sparsity is missing; say how much '{method}' removes, or train with --method {DENSE}")
    sparsity = sparsity or 0.0
    recipe: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "momentum": momentum,
        "nesterov": nesterov or None,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "warmup_epochs": warmup_epochs,
        "label_smoothing": label_smoothing,
        "crop": crop,
        "flip": flip,
    }
    spec = RunSpec(
        model=model,
        data=data,
        method=method,
        options=o.options_from(option),
        sparsity=sparsity,
        seed=seed,
        weight_seed=weight_seed,
        mask_seed=mask_seed,
        order_seed=order_seed,
        augment_seed=augment_seed,
        train=Recipe(**{name: value for name, value in recipe.items() if value is not None}),
        input=o.size_from(input),
        num_classes=num_classes,
        label_column=label_column,
        bn=bn,
        on_collapse=on_collapse,  # type: ignore[arg-type]  # checked there
    )
    with progress("reading data", epochs) as step:
        dataset = datasets.load(data, label_column=label_column)
        step(0, title=f"pruning by {method}")

        def report(record: EpochRecord) -> None:
            step(1, title=f"epoch {record.epoch}: {100 * record.test_accuracy:.2f} % right")

        record = execute(spec, output, resume=resume, on_epoch=report, dataset=dataset, device=device)
    result = dict(record.result)
    topology = result["topology"]
    if json:
        note(f"run {record.path}")
    paths = "none" if topology["log10_paths"] is None else f"10^{topology['log10_paths']:.2f}"
    answer(
        {**result, "path": str(record.path)},
        f"{model} on {result['data_name']}, {method} at {100 * sparsity:g} %: kept {result['kept']:,} of "
        f"{result['prunable']:,} weights, {topology['nodes']} nodes, {paths} paths",
        f"accuracy  {100 * result['accuracy_last']:.2f} % after the last of {result['epochs']} epochs "
        f"(best {100 * result['accuracy_best']:.2f} %, epoch {result['best_epoch']}) in {result['seconds']:.0f} s",
        f"record    {record.path}",
        as_json=json,
    )
