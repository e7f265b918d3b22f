"""Which models npb prunes: `python -m bench.npb_reach` writes build/npb-reach.md.

Every classification model of torchvision at sparsity 0.95, at its own input size, with fresh weights, in a process of
its own; a method that iterates in channel resolution, as is done above 100 million parameters. Nothing is downloaded.
"""

import argparse
import json
import multiprocessing
import os
import resource
import time
import warnings
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from multiprocessing.connection import Connection
from pathlib import Path

import torch

import nodepath
from bench.reach import HUGE, torchvision_names

SPARSITY = 0.95
KEPT = Path("build/npb-reach.jsonl")
PAGE = Path("build/npb-reach.md")
BY_CHANNEL = ("synflow-npb", "synflow")
PATIENCE = 3600
"""Seconds that one model may take."""


@dataclass(frozen=True)
class Row:
    """What came of one model.

    Attributes:
        model, method: Which.
        parameters: How many.
        resolution: In which it is pruned.
        asked, kept, effective: Weights.
        layers: Layers that carry values in the dense network.
        dead: Those of them that carry none in the pruned one.
        nodes: Share of the dense network's nodes that are effective.
        paths: Ratio of the logarithms of the numbers of paths.
        seconds: Of `prune`.
        megabytes: The most memory of the process.
        error: Why there are no masks; empty if there are.
        warned: What was warned of, first words.
    """

    model: str
    method: str
    parameters: int = 0
    resolution: str = ""
    asked: int = 0
    kept: int = 0
    effective: int = 0
    layers: int = 0
    dead: tuple[str, ...] = ()
    nodes: float = 0.0
    paths: float = 0.0
    seconds: float = 0.0
    megabytes: int = 0
    error: str = ""
    warned: str = ""

    @property
    def reached(self) -> bool:
        """Pruned to the exact count, all of it effective, with every layer that carries values alive."""
        return not self.error and not self.dead and self.asked == self.kept == self.effective


def examine(row: Row) -> Row:
    """Build, prune and measure, in this process."""
    torch.set_num_threads(1)
    model = nodepath.models.create(row.model, seed=0)
    size = nodepath.models.describe(row.model).input_size
    assert size is not None
    x, parameters = torch.zeros(1, *size), sum(p.numel() for p in model.parameters())
    resolution = "channel" if row.method in BY_CHANNEL or parameters > HUGE else "pixel"
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        masks = nodepath.prune(model, x, row.method, sparsity=SPARSITY, on_collapse="warn", resolution=resolution)
    seconds = time.perf_counter() - began
    dense = nodepath.measure(model, x, resolution=resolution)
    topology = nodepath.measure(model, x, masks, resolution=resolution)
    pairs = [(a, b) for a, b in zip(dense.layers, topology.layers, strict=True) if a.path_share > 0]
    return replace(
        row,
        parameters=parameters,
        resolution=resolution,
        asked=round((1 - SPARSITY) * dense.prunable),
        kept=masks.kept,
        effective=topology.effective,
        layers=len(pairs),
        dead=tuple(a.name for a, b in pairs if b.path_share == 0),
        nodes=topology.nodes / dense.nodes,
        paths=topology.path_ratio,
        seconds=round(seconds, 2),
        megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        warned="; ".join(sorted({f"{w.category.__name__}: {str(w.message)[:100]}" for w in warned})),
    )


def isolated(row: Row) -> Row:
    """`examine` in a process of its own, which may neither hang nor eat the memory of others."""
    context = multiprocessing.get_context("fork")  # importing torch anew would take longer than most models
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(row, send))
    process.start()
    send.close()
    try:
        made: Row = receive.recv() if receive.poll(PATIENCE) else replace(row, error=f"takes more than {PATIENCE} s")
    except EOFError:
        made = replace(row, error="its process was killed, for want of memory")
    process.kill()
    process.join()
    return made


def _report(row: Row, send: Connection) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 7 // 8
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        send.send(examine(row))
    except Exception as error:  # a table of what fails shows everything that does
        send.send(replace(row, error=f"{type(error).__name__}: {' '.join(str(error).split())}"))


def page(found: list[Row]) -> str:
    """The table, as Markdown."""
    reached = sum(row.reached for row in found)
    lines = [
        f"{reached} of {len(found)} pruned to {SPARSITY:.0%} with the exact count, no weight without effect, and every "
        "layer that carries values alive.",
        "",
        "| method | model | parameters | resolution | kept | without effect | layers alive | nodes | paths | s | GB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(found, key=lambda row: (row.method, row.parameters)):
        name = row.model.partition(":")[2]
        if row.error:
            lines.append(f"| {row.method} | {name} | | {row.error} |" + " |" * 7)
            continue
        first = f"{row.method} | {name} | {row.parameters:,} | {row.resolution}"
        count = f"{row.kept:,}" + ("" if row.kept == row.asked else f" of {row.asked:,}")
        alive = f"{row.layers - len(row.dead)} of {row.layers}"
        numbers = f"{row.nodes:.3f} | {row.paths:.3f} | {row.seconds:.2f} | {row.megabytes / 1000:.1f}"
        lines.append(f"| {first} | {count} | {row.kept - row.effective:,} | {alive} | {numbers} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Rows are kept as they come, so that a run goes on where another was stopped."""
    parser = argparse.ArgumentParser(prog="python -m bench.npb_reach", description=__doc__)
    parser.add_argument("--methods", default="npb", help="names, joined by commas")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="models, such as 'resnet*'")
    parser.add_argument("--afresh", action="store_true", help=f"forget what {KEPT} holds")
    arguments = parser.parse_args()
    KEPT.parent.mkdir(exist_ok=True)
    if arguments.afresh:
        KEPT.unlink(missing_ok=True)
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    known = [Row(**{**json.loads(line), "dead": tuple(json.loads(line)["dead"])}) for line in lines]
    found = {(row.model, row.method): row for row in known}
    for method in arguments.methods.split(","):
        for name in torchvision_names():
            key = f"torchvision:{name}", method
            if key in found or not fnmatch(name, arguments.only):
                continue
            row = found[key] = isolated(Row(*key))
            with KEPT.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
            PAGE.write_text(page(list(found.values())))
            print(f"{method:<12} {name:<24} {'reached' if row.reached else row}", flush=True)
    print(page([row for row in found.values() if row.method in arguments.methods.split(",")]))


if __name__ == "__main__":
    main()
