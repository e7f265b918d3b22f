"""Several runs at once, a process each."""

import multiprocessing
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from nodepath.errors import CollapseWarning
from nodepath.runs.execute import execute
from nodepath.runs.record import Record
from nodepath.runs.spec import RunSpec

__all__ = ["execute_all"]


def execute_all(
    specs: Sequence[RunSpec],
    root: Path | str,
    *,
    workers: int | None = None,
    on_run: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Do runs, or take the records of those that are finished, on one thread each.

    Small networks gain nothing from a second thread, and threads that wait for each other lose much; as many
    processes as cores do. So a record does not depend on the number of workers.

    Args:
        specs: What to do.
        root: Folder of all runs.
        workers: Processes; None: as many as this process may use cores, at most one a run.
        on_run: Called with each record when it is there, in the order of finishing.

    Returns:
        One record a spec, in their order.

    Raises:
        NodepathError: The first mistake of a run; those under way end, the others do not begin.
    """
    count = max(1, min(workers or _cores(), len(specs)))
    records: dict[int, Record] = {}
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_settle) as pool:
        waiting = {pool.submit(_run, spec, root): index for index, spec in enumerate(specs)}
        try:
            for done in as_completed(waiting):
                records[waiting[done]] = Record.load(done.result())
                if on_run is not None:
                    on_run(records[waiting[done]])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [records[index] for index in range(len(specs))]


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _settle() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", CollapseWarning)  # the record says it, under mask_origin.collapse


def _run(spec: RunSpec, root: Path | str) -> Path:
    return execute(spec, root, resume=True).path
