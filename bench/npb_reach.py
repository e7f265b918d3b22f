"""Which models npb and synflow-npb prune: `python -m bench.npb_reach` writes docs/npb-reach.md.

Every classification model of torchvision at sparsity 0.95, at its own input size, with fresh weights, in a process of
its own, smallest first; above 100 million parameters in channel resolution, with `--channel` always. An emptied layer
gets one weight back (`on_collapse="keep-one"`): SynFlow empties branches that lie side by side. Nothing is downloaded.
"""

import argparse
import json
import resource
import time
import warnings
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from functools import partial
from itertools import groupby
from pathlib import Path

import torch

import nodepath
from bench.isolation import Failure, isolated
from bench.reach import HUGE, setting, torchvision_names

SPARSITY = 0.95
KEPT = Path("build/npb-reach.jsonl")
PAGE = Path("docs/npb-reach.md")
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
        given_back: Layers that were emptied and got a weight back.
        nodes: Share of the dense network's nodes that are effective.
        paths: Ratio of the logarithms of the numbers of paths.
        seconds: Of `prune`.
        megabytes: The most memory of the process.
        setting: Machine and versions.
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
    given_back: int = 0
    nodes: float = 0.0
    paths: float = 0.0
    seconds: float = 0.0
    megabytes: int = 0
    setting: str = ""
    error: str = ""
    warned: str = ""

    @property
    def reached(self) -> bool:
        """Pruned to the exact count, with every layer that carries values alive."""
        return not self.error and not self.dead and self.asked == self.kept


def examine(row: Row) -> Row:
    """Build, prune and measure, in this process."""
    torch.set_num_threads(1)
    model = nodepath.models.create(row.model, seed=0)
    size = nodepath.models.describe(row.model).input_size
    assert size is not None
    x, parameters = torch.zeros(1, *size), sum(p.numel() for p in model.parameters())
    resolution = row.resolution or ("channel" if parameters > HUGE else "pixel")
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        masks = nodepath.prune(model, x, row.method, sparsity=SPARSITY, on_collapse="keep-one", resolution=resolution)
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
        given_back=len(masks.metadata["collapse"]["given_back"]),  # type: ignore[arg-type, index, call-overload]
        nodes=topology.nodes / dense.nodes,
        paths=topology.path_ratio,
        seconds=round(seconds, 2),
        megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        setting=setting("torch", "torchvision"),
        warned="; ".join(sorted({f"{w.category.__name__}: {str(w.message)[:100]}" for w in warned})),
    )


def page(found: list[Row]) -> str:
    """The tables, as Markdown, smallest models first."""
    lines = ["# Models that npb and synflow-npb prune", ""]
    lines += [
        f"Every classification model of torchvision at sparsity {SPARSITY}, at its own input size: "
        "`python -m bench.npb_reach --methods npb,synflow-npb`, one thread, the machine shared. Resolution is pixel up "
        "to 100 million parameters. *Alive* are layers with a path, of those that have one in the dense model; *given "
        'back* are layers that the method empties and that `on_collapse="keep-one"` gives a weight; *without effect* '
        "are kept weights that lie on no path and steer none; *nodes* is the share that lives, *paths* the ratio of "
        "logarithms.",
    ]
    for method, rows in groupby(sorted(found, key=lambda row: (row.method, row.parameters)), lambda row: row.method):
        some = list(rows)
        reached = [row for row in some if row.reached]
        useful = sum(row.kept == row.effective for row in reached)
        left = len(torchvision_names()) - len(some)
        lines += [
            "",
            f"## {method}",
            "",
            f"{len(reached)} of {len(some)}: the exact count and every layer alive; in {useful} of them every kept "
            "weight has an effect." + (f" {left} more models were not run." if left else ""),
            "",
            "; ".join(sorted({row.setting for row in some if row.setting})) + ".",
            "",
            "| model | parameters | resolution | kept | without effect | alive | given back | nodes | paths | s | GB |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in some:
            name = row.model.partition(":")[2]
            if row.error:
                lines.append(f"| {name} | | {row.error} |" + " |" * 8)
                continue
            count = f"{row.kept:,}" + ("" if row.kept == row.asked else f" of {row.asked:,}")
            layers = f"{row.layers - len(row.dead)} of {row.layers} | {row.given_back or ''}"
            numbers = f"{row.nodes:.3f} | {row.paths:.3f} | {row.seconds:.1f} | {row.megabytes / 1000:.1f}"
            first = f"{name} | {row.parameters:,} | {row.resolution} | {count} | {row.kept - row.effective:,}"
            lines.append(f"| {first} | {layers} | {numbers} |")
    return "\n".join(lines) + "\n"


def kept() -> dict[tuple[str, str], Row]:
    """Model and method -> what there is."""
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    rows = [Row(**{**json.loads(line), "dead": tuple(json.loads(line)["dead"])}) for line in lines]
    return {(row.model, row.method): row for row in rows}


def main() -> None:
    """Rows are kept as they come: a run goes on where another was stopped, and two may meet."""
    parser = argparse.ArgumentParser(prog="python -m bench.npb_reach", description=__doc__)
    parser.add_argument("--methods", default="npb", help="names, joined by commas")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="models, such as 'resnet*'")
    parser.add_argument("--channel", action="store_true", help="all in channel resolution, which is faster")
    parser.add_argument("--backwards", action="store_true", help="largest first, for a second run at the same time")
    parser.add_argument("--afresh", action="store_true", help=f"forget what {KEPT} holds")
    arguments = parser.parse_args()
    KEPT.parent.mkdir(exist_ok=True)
    if arguments.afresh:
        KEPT.unlink(missing_ok=True)
    names = torchvision_names()[:: -1 if arguments.backwards else 1]
    for method in arguments.methods.split(","):
        for name in names:
            key = f"torchvision:{name}", method
            if key in kept() or not fnmatch(name, arguments.only):
                continue
            row = Row(*key, resolution="channel" if arguments.channel else "")
            made = isolated(partial(examine, row), PATIENCE)
            row = replace(row, error=made) if isinstance(made, Failure) else made
            with KEPT.open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")
            PAGE.write_text(page(list(kept().values())))
            print(f"{method:<12} {name:<24} {'reached' if row.reached else row}", flush=True)


if __name__ == "__main__":
    main()
