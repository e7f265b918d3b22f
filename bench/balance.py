"""What each method gives at a budget, on the papers' networks: `python -m bench.balance` writes docs/plane.md.

Nodes, paths, effective width and sparsity, multiply-adds and time of the methods side by side, and for each mask of
another method a width at which `npb-even` has at least its effective width and its log10 paths, to 1 %. Rows are kept
in build/balance.jsonl as they come; what is there is not done again.
"""

import argparse
import json
import math
import platform
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import nodepath

PAGE = Path("docs/plane.md")
KEPT = Path("build/balance.jsonl")
NETWORKS = {"resnet20": (10, "pixel"), "vgg19": (100, "channel"), "resnet18-tiny": (200, "pixel")}
"""Name -> classes and the resolution of the plane: VGG-19's 2x2 maps reward masks of centre cells in pixels."""
SPARSITIES = (0.6838, 0.9, 0.9684, 0.99, 0.9968)
METHODS = ("erk", "random", "synflow", "synflow-npb", "npb", "dpai", "npb-even")
WIDTHS = (0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.35, 0.42, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
TAPER = 0.6
"""Of a second curve, looked at where no width of the first one does: SynFlow narrows wide stages more than others."""
SEARCH = 9
"""Steps of bisection for a width there."""
DEAR = {"dpai": ("resnet20",)}
"""Methods that are run on some networks alone, for the time that they take."""


@dataclass(frozen=True)
class Row:
    """One mask, measured in the papers' convention."""

    network: str
    sparsity: float
    method: str
    width: float | None
    nodes: int
    node_ratio: float
    log10_paths: float | None
    path_ratio: float
    effective_width: float
    effective_sparsity: float
    mac_share: float
    position: float | None
    seconds: float
    taper: float | None = None

    @property
    def key(self) -> tuple[str, float, str, float | None]:
        """What it is filed under."""
        return self.network, self.sparsity, self.method, self.width


def measured(network: str, sparsity: float, method: str, width: float | None, taper: float | None = None) -> Row:
    """Prune and measure."""
    model = nodepath.models.create(network, num_classes=NETWORKS[network][0], seed=0)
    x = torch.zeros(1, *nodepath.models.describe(network).input_size)
    asked = {"width": width, "taper": taper}
    options: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    resolution = NETWORKS[network][1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.perf_counter()
        masks = nodepath.prune(
            model, x, method, sparsity=sparsity, on_collapse="warn", resolution=resolution, **options
        )
        seconds = time.perf_counter() - began
    topology = nodepath.measure(model, x, masks, convention="paper", resolution=resolution)
    return Row(
        network,
        sparsity,
        method,
        width,
        topology.nodes,
        topology.node_ratio,
        topology.log10_paths if math.isfinite(topology.log10_paths) else None,
        topology.path_ratio,
        topology.effective_width,
        topology.effective_sparsity,
        topology.effective_macs / topology.dense_macs,
        topology.position if math.isfinite(topology.position) else None,
        seconds,
        taper,
    )


def wanted() -> Iterator[tuple[str, float, str, float | None]]:
    """All rows, the cheap ones first."""
    for network in NETWORKS:
        for sparsity in SPARSITIES:
            for method in METHODS:
                if network in DEAR.get(method, (network,)):
                    yield network, sparsity, method, None
            for width in WIDTHS:
                yield network, sparsity, "npb-even", width


def beaten(row: Row, curve: list[Row]) -> str:
    """The narrowest mask of `npb-even` that has the row's effective width and paths, to 1 %; empty for none."""
    for even in sorted(curve, key=lambda even: (even.taper is not None, even.width or 0)):
        if is_as_wide(even, row) and (even.log10_paths or 0) >= 0.99 * (row.log10_paths or 0):
            return f"{even.width:.3g}" + ("" if even.taper is None else f", taper {even.taper:g}")
    return ""


def is_as_wide(even: Row, row: Row) -> bool:
    """Whether one has the other's effective width, to 1 %."""
    return even.effective_width >= 0.99 * row.effective_width


def narrowest(row: Row) -> Row | None:
    """The narrowest mask of the tapered `npb-even` that has the effective width of another mask."""
    low, high, found = 0.0, 1.0, None
    for _ in range(SEARCH):
        middle = (low + high) / 2
        even = measured(row.network, row.sparsity, "npb-even", middle, TAPER)
        low, high, found = (low, middle, even) if is_as_wide(even, row) else (middle, high, found)
    return found


def curve_of(row: Row, rows: list[Row]) -> list[Row]:
    """The masks of `npb-even` at the network and sparsity of a row."""
    return [other for other in rows if other.width is not None and other.key[:2] == row.key[:2]]


def page(rows: list[Row]) -> str:
    """The tables, as Markdown."""
    lines = [
        "# What each method gives",
        "",
        "Masks of the papers' three networks, freshly initialised from seed 0, in the papers' convention; VGG-19 in "
        "channel resolution, the others in pixels. Node and path ratios are to the dense network; effective width, "
        "position and `npb-even` are explained in [balancing.md](balancing.md). `erk`, random cells at ERK counts, "
        "takes about as many multiply-adds as `npb`: what a method saves beyond that row is its own. `matched at`: a "
        "width (and `taper`) at which `npb-even` has at least the effective width and the log10 paths of that mask, "
        "to 1 %.",
        "",
        f"`python -m bench.balance`, {time.strftime('%Y-%m-%d')}: {machine()}, torch "
        f"{torch.__version__.partition('+')[0]}, beside other work, so seconds are "
        "upper bounds; for times see [bench.md](bench.md).",
    ]
    for network, (classes, resolution) in NETWORKS.items():
        here = [row for row in rows if row.network == network]
        if not here:
            continue
        lines += ["", f"## {network}, {classes} classes, {resolution}", ""]
        heads = "sparsity | method | nodes | node ratio | log10 paths | path ratio | effective width | position | "
        heads += "effective sparsity | MACs % | seconds | matched at"
        lines += [f"| {heads} |", "|---" * 12 + "|"]
        for sparsity in SPARSITIES:
            some = [row for row in here if row.sparsity == sparsity]
            curve = curve_of(some[0], some) if some else []
            for row in (row for row in some if row.width is None):
                match = "" if row.method == "npb-even" or not curve else beaten(row, curve) or "none"
                paths = "no path" if row.log10_paths is None else f"{row.log10_paths:.2f}"
                position = "" if row.position is None else f"{row.position:.2f}"
                lines.append(
                    f"| {100 * sparsity:g} % | {row.method} | {row.nodes:,} | {row.node_ratio:.3f} | {paths} | "
                    f"{row.path_ratio:.3f} | {row.effective_width:,.0f} | {position} | "
                    f"{100 * row.effective_sparsity:.2f} % | {100 * row.mac_share:.2f} | {row.seconds:.2f} | {match} |"
                )
        lines += ["", f"The curve of `npb-even` on {network}: effective width, path ratio by width.", ""]
        lines += [f"| sparsity | {' | '.join(f'{w:g}' for w in WIDTHS)} |", "|---" * (len(WIDTHS) + 1) + "|"]
        for sparsity in SPARSITIES:
            found = {row.width: row for row in here if row.sparsity == sparsity and row.taper is None}
            cells = [f"{found[w].effective_width:,.0f} {found[w].path_ratio:.3f}" if w in found else "" for w in WIDTHS]
            lines.append(f"| {100 * sparsity:g} % | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """The processor's name."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()


def keep(row: Row, rows: list[Row]) -> None:
    """File a row."""
    rows.append(row)
    with KEPT.open("a") as file:
        file.write(json.dumps(asdict(row)) + "\n")
    print(row, flush=True)


def main() -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.balance", description=__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--methods", default=",".join(METHODS))
    arguments = parser.parse_args()
    KEPT.parent.mkdir(exist_ok=True)
    rows = [Row(**json.loads(line)) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []
    known = {row.key for row in rows}
    for network, sparsity, method, width in wanted():
        if (network, sparsity, method, width) in known or network not in arguments.networks.split(","):
            continue
        if method not in arguments.methods.split(",") or method not in nodepath.methods.names():
            continue
        keep(measured(network, sparsity, method, width), rows)
    for row in [row for row in rows if row.method != "npb-even"]:
        if row.log10_paths is not None and not beaten(row, curve_of(row, rows)):
            even = narrowest(row)
            if even is not None:
                keep(even, rows)
    PAGE.write_text(page(rows))


if __name__ == "__main__":
    main()
