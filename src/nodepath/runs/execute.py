"""Do a run: build, prune, measure, train, and leave a record."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nodepath import data
from nodepath.data import Dataset
from nodepath.errors import RunError
from nodepath.masks import MaskSet
from nodepath.methods import needs_batch, prune
from nodepath.paths import Topology, measure
from nodepath.paths.guard import evaluating
from nodepath.runs.directory import RunDirectory, read_json, write_json
from nodepath.runs.environment import environment
from nodepath.runs.network import network_for
from nodepath.runs.record import Record, read_masks
from nodepath.runs.score_batch import score_batch_for
from nodepath.runs.spec import DENSE, RunSpec
from nodepath.train import Checkpoint, EpochRecord, Preparation, fit
from nodepath.train.evaluate import logits_of
from nodepath.train.fit import torch_device
from nodepath.train.tensor_file import state_of, write_tensors

__all__ = ["execute"]


def execute(
    spec: RunSpec,
    root: Path | str,
    *,
    resume: bool = False,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    dataset: Dataset | None = None,
    device: torch.device | str = "cpu",
) -> Record:
    """Do a run, or go on with it, in `root/runs/<hash>`.

    The directory appears when the training begins: after model, data and masks have been made without an error. Each
    file in it is whole at any moment, also if the process is killed; `result.json` comes last.

    Args:
        spec: What to do.
        root: Folder that may hold several runs.
        resume: Go on from the checkpoint of an interrupted run, bit for bit as if it had not been interrupted (same
            machine, versions and threads); start afresh if there is none; give back the record of a finished one.
        on_epoch: Called with the record of each new epoch, when it is safe on disk. May raise to interrupt the run.
        dataset: `spec.data`, if it is in memory already.
        device: Where to compute; no part of the spec.

    Returns:
        The record.

    Raises:
        RunError: The run has finished, or was interrupted, and `resume` is False; or a file of it is damaged or cannot
            be written. Names the file or directory.
        NodepathError: Whatever model, data, method, or training say of the spec, each by its own kind.
    """
    files = RunDirectory.of(root, spec)
    _check_free(files, resume)
    if resume and files.spec.exists():
        _check_same(files, spec)
    if files.result.exists():
        files.checkpoint.unlink(missing_ok=True)  # killed between the last two steps
        return Record.load(files.path)
    checkpoint = Checkpoint.load(files.checkpoint) if files.checkpoint.exists() else None

    work = _prepare(spec, dataset, torch_device(device), files.masks if resume and files.masks.exists() else None)
    files.make()
    _describe(files, spec, work, resume)
    history: tuple[EpochRecord, ...] = () if checkpoint is None else checkpoint.history
    files.write_metrics(history)

    def note(record: EpochRecord) -> None:
        nonlocal history
        history = (*history, record)
        files.write_metrics(history)
        if on_epoch is not None:
            on_epoch(record)

    fit(
        work.model,
        work.dataset,
        spec.train,
        masks=None if spec.method == DENSE else work.masks,
        order_seed=spec.seed_of("order"),
        augment_seed=spec.seed_of("augment"),
        device=work.device,
        input_size=work.input_size,
        on_epoch=note,
        checkpoint=files.checkpoint,
        resume_from=checkpoint,
    )
    write_tensors(files.weights, state_of(work.model), {"spec": spec.hash, "epochs": len(history)})
    write_json(files.result, _result(spec, work, history))
    files.checkpoint.unlink(missing_ok=True)
    return Record.load(files.path)


def _check_free(files: RunDirectory, resume: bool) -> None:
    """Is there nothing that a fresh start would destroy?"""
    if resume:
        return
    if files.result.exists():
        raise RunError(
            f"{files.path} holds this run, finished; pass --resume to take its record, or choose another place with -o"
        )
    if files.checkpoint.exists():
        raise RunError(
            f"{files.path} holds this run, interrupted; pass --resume to go on with it, or choose another place with -o"
        )


def _check_same(files: RunDirectory, spec: RunSpec) -> None:
    """The hash leaves defaults out, the file spells them out: another nodepath's other defaults show here."""
    before = files.read_spec()
    if before.hash != spec.hash:
        names = [name for name in RunSpec.model_fields if getattr(before, name) != getattr(spec, name)]
        raise RunError(
            f"{files.spec} has another {', '.join(names)} than asked: the nodepath that wrote it had other defaults; "
            "choose another place with -o"
        )


@dataclass(frozen=True)
class _Work:
    """What a run needs before it trains."""

    dataset: Dataset
    model: nn.Module
    input_size: tuple[int, int, int]
    device: torch.device
    masks: MaskSet
    topology: Topology
    topology_paper: Topology


def _prepare(spec: RunSpec, dataset: Dataset | None, device: torch.device, masks_file: Path | None) -> _Work:
    needs_data = spec.method != DENSE and needs_batch(
        spec.method, **spec.options
    )  # an unknown method, before the data are read
    if dataset is None:
        dataset = data.load(spec.data, label_column=spec.label_column)
    model, size = network_for(
        spec.model, dataset=dataset, input=spec.input, num_classes=spec.num_classes, seed=spec.seed_of("weight")
    )
    model, preparation = model.to(device), Preparation.of(dataset, size)
    x = torch.zeros(1, *size, device=device)
    options: dict[str, Any] = dict(spec.options)
    if masks_file is not None:
        masks = read_masks(masks_file)
    elif spec.method == DENSE:
        layers = measure(model, x).layers
        masks = MaskSet({layer.name: torch.ones(layer.shape, dtype=torch.bool) for layer in layers}, {"method": DENSE})
    else:
        masks = prune(
            model,
            x,
            method=spec.method,
            sparsity=spec.sparsity,
            seed=spec.seed_of("mask"),
            batch=score_batch_for(dataset, preparation, seed=spec.seed_of("mask"), device=device)
            if needs_data
            else None,
            bn=spec.bn,
            on_collapse=spec.on_collapse,
            **options,
        )
    with evaluating(model), torch.no_grad():
        logits_of(model, x, dataset.num_classes)  # what cannot be trained shows before anything is written
    exact, paper = (measure(model, x, masks, convention=convention) for convention in ("exact", "paper"))
    return _Work(dataset, model, size, device, masks, exact, paper)


def _describe(files: RunDirectory, spec: RunSpec, work: _Work, resume: bool) -> None:
    """Write down what is asked, where, and what is kept."""
    here = environment(work.device)
    if resume and files.environment.exists():
        before = read_json(files.environment)
        here["interrupted"] = [*before.pop("interrupted", []), before]
    write_json(files.spec, spec.model_dump(mode="json"))
    write_json(files.environment, here)
    if not (resume and files.masks.exists()):
        work.masks.save(files.masks)


def _result(spec: RunSpec, work: _Work, history: tuple[EpochRecord, ...]) -> dict[str, Any]:
    best = max(history, key=lambda record: record.test_accuracy)  # the first of equals
    last = history[-1]
    return {
        "hash": spec.hash,
        "model": spec.model,
        "data": spec.data,
        "method": spec.method,
        "options": spec.options,
        "sparsity": spec.sparsity,
        "seed": spec.seed,
        "dense": spec.method == DENSE,
        "accuracy_last": last.test_accuracy,
        "accuracy_best": best.test_accuracy,
        "best_epoch": best.epoch,
        "epochs": last.epoch,
        "loss_last": last.test_loss,
        "train_accuracy_last": last.train_accuracy,
        "seconds": sum(record.seconds for record in history),
        "input_size": list(work.input_size),
        "num_classes": work.dataset.num_classes,
        "data_name": work.dataset.name,
        "data_fingerprint": work.dataset.fingerprint,
        "prunable": work.topology.prunable,
        "kept": work.masks.kept,
        "mask_hash": work.masks.hash,
        "mask_origin": work.masks.metadata,
        "topology": work.topology.to_dict(),
        "topology_paper": work.topology_paper.to_dict(),
    }
