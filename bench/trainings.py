"""Short trainings that settle what `npb-even` does by default: `python -m bench.trainings`.

Each run prunes a fresh network, leaves out what lies on no path, trains what is left and notes the accuracy of the last
epoch: SGD (Nesterov .9, weight decay 5e-4, batches of 128), one cycle of the step size up to .2; of 32x32 images random
crops of 24x24 and flips, tested on the centre; convolutions and products in bfloat16, which halves the time where the
processor multiplies matrices of it; elsewhere `--float32` is faster. Rows are kept in build/trainings.jsonl as they
come; what is there is not run again. `--table` prints what there is.
"""

import argparse
import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nodepath
from bench.shrunk import shrunk
from bench.variants import VARIANTS
from nodepath.masks import MaskSet
from nodepath.paths import Network

KEPT = Path("build/trainings.jsonl")
CROP = 24
BATCH = 128
PEAK = 0.2


@dataclass(frozen=True)
class Run:
    """One training."""

    model: str
    sparsity: float
    method: str
    epochs: int
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    variant: str = ""
    """See `bench.variants`."""

    @property
    def key(self) -> str:
        """What it is filed under."""
        return json.dumps(asdict(self), sort_keys=True)


def loaded(folder: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Train images (normalised by channel) and labels, test images and labels; read once, then from a cache."""
    cache = Path("build") / f"{Path(folder).name}.pt"
    if not cache.exists():
        data = nodepath.data.load(folder)
        cache.parent.mkdir(exist_ok=True)
        torch.save([data.train.images, data.train.labels, data.test.images, data.test.labels], cache)
    images, labels, tests, targets = torch.load(cache)
    flat = images.float().transpose(0, 1).flatten(1) / 255
    centre, spread = flat.mean(1).reshape(1, -1, 1, 1), flat.std(1).reshape(1, -1, 1, 1)
    return (images / 255 - centre) / spread, labels.long(), (tests / 255 - centre) / spread, targets.long()


def crops(images: Tensor, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Random crops and flips of the images in some rows."""
    places = images.shape[-1] - CROP + 1
    top, left = torch.randint(places, (2, len(rows)), generator=generator)
    cut = images.unfold(2, CROP, 1).unfold(3, CROP, 1)[rows, :, top, left]
    flip = torch.rand(len(rows), generator=generator) < 0.5
    return torch.where(flip.reshape(-1, 1, 1, 1), cut.flip(3), cut)


def train(
    model: nn.Module, masks: MaskSet, data: tuple[Tensor, ...], run: Run, dtype: torch.dtype
) -> tuple[float, float]:
    """Train in place; accuracy after the last epoch, and the loss of the last hundred steps."""
    images, labels, tests, targets = data
    generator = torch.Generator().manual_seed(run.seed)
    convolutional = images.shape[-1] == 32
    optimizer = torch.optim.SGD(model.parameters(), lr=PEAK, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = len(images) // BATCH
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps * run.epochs)
    losses: list[float] = []
    model.to(memory_format=torch.channels_last)
    with masks.hold(model, optimizer):
        for _ in range(run.epochs):
            model.train()
            order = torch.randperm(len(images), generator=generator)
            for step in range(steps):
                rows = order[step * BATCH : (step + 1) * BATCH]
                inputs = crops(images, rows, generator) if convolutional else images[rows]
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                    outputs = model(inputs.contiguous(memory_format=torch.channels_last))
                loss = F.cross_entropy(outputs.float(), labels[rows])
                loss.backward()
                optimizer.step()
                cycle.step()
                losses.append(loss.item())
    model.eval()
    border = (tests.shape[-1] - CROP) // 2 if convolutional else 0
    side = CROP if convolutional else tests.shape[-1]
    tests = tests[:, :, border : border + side, border : border + side]
    with torch.no_grad():
        right = sum(
            int((model(part).argmax(1) == wanted).sum())
            for part, wanted in zip(tests.split(500), targets.split(500), strict=True)
        )
    return right / len(tests), mean(losses[-100:])


class Normed(nn.Module):
    """A chain of Linear layers with BatchNorm and ReLU: 784, hidden units, 10."""

    def __init__(self, hidden: int = 100, depth: int = 5, inputs: int = 784, classes: int = 10) -> None:
        super().__init__()
        sizes = [inputs] + [hidden] * depth
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden) for _ in range(depth))
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, 28, 28) -> (batch, classes)."""
        x = x.flatten(1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(layer(x)).relu()
        return self.head(x)


def built(name: str, seed: int, classes: int) -> nn.Module:
    """A network of the zoo, or `mlp`, from a seed."""
    if name != "mlp":
        return nodepath.models.create(name, num_classes=classes, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Normed(classes=classes)


def perform(run: Run, data: tuple[Tensor, ...], dtype: torch.dtype) -> dict[str, Any]:
    """Prune, shrink, train: one row."""
    x = torch.zeros(1, *data[0].shape[1:])
    if run.model != "mlp":
        x = x[..., :CROP, :CROP]
    model = built(run.model, run.seed, int(data[1].max()) + 1)
    variant, whole = VARIANTS[run.variant], Network(model, x).prunable
    variant.built(model)
    network = Network(model, x)
    sparsity = 1 - round((1 - run.sparsity) * whole) / network.prunable
    began = time.perf_counter()
    if run.method == "dense":
        masks = MaskSet({n: torch.ones_like(w, dtype=torch.bool) for n, w in network.weights().items()})
    else:
        with warnings.catch_warnings(), variant.drawing(network):
            warnings.simplefilter("ignore")
            masks = nodepath.prune(
                model, x, run.method, sparsity=sparsity, seed=run.seed, on_collapse="warn", **run.options
            )
    pruned = time.perf_counter() - began
    topology = nodepath.measure(model, x, masks, convention="paper")
    small, left = shrunk(model, x, masks)
    variant.shrunk(small)
    began = time.perf_counter()
    accuracy, loss = train(small, left, data, run, dtype)
    return {
        **asdict(run),
        "dtype": str(dtype).removeprefix("torch."),
        "accuracy": accuracy,
        "loss": loss,
        "nodes": topology.nodes,
        "width": topology.effective_width,
        "paths": topology.path_ratio,
        "position": topology.position,
        "positions_left": left.total,
        "prune_seconds": pruned,
        "seconds": time.perf_counter() - began,
    }


def rows() -> list[dict[str, Any]]:
    """What is there."""
    return [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []


def table(found: list[dict[str, Any]]) -> Iterator[str]:
    """One line a configuration: mean over seeds."""

    def name(row: dict[str, Any]) -> str:
        return ", ".join(
            [row["method"], *(f"{k} {v}" for k, v in row["options"].items()), row.get("variant", "")]
        ).strip(", ")

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["model"], row["epochs"], row["sparsity"], name(row)

    yield "| network | epochs | sparsity | method | seeds | accuracy % | sd | nodes | width | paths | position | s |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for (model, epochs, sparsity, method), group in groupby(sorted(found, key=key), key):
        some = list(group)
        accuracy = [100 * row["accuracy"] for row in some]
        cells = [f"{mean(row[k] for row in some):{f}}" for k, f in (("nodes", ".0f"), ("width", ".0f"))]
        cells += [f"{mean(row[k] for row in some):.3f}" for k in ("paths", "position")]
        spread = f"{stdev(accuracy):.1f}" if len(some) > 1 else ""
        yield (
            f"| {model} | {epochs} | {100 * sparsity:g} % | {method} | {len(some)} | {mean(accuracy):.1f} | {spread} | "
            f"{' | '.join(cells)} | {mean(row['seconds'] for row in some):.0f} |"
        )


def main() -> None:
    """Run a list of trainings, one JSON object a line of `--runs`, or print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.trainings", description=__doc__)
    parser.add_argument("--data", default="../shared/data/cifar10")
    parser.add_argument("--runs", type=Path, help="a file of runs, one JSON object a line")
    parser.add_argument("--float32", action="store_true", help="no bfloat16")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print("\n".join(table(rows())))
        return
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    data = loaded(arguments.data)
    while True:  # the file may grow while it runs, and another process may take from it
        done = {Run(**{k: row[k] for k in Run.__dataclass_fields__ if k in row}).key for row in rows()}
        wanted = [Run(**json.loads(line)) for line in arguments.runs.read_text().splitlines() if line.strip()]
        run = next((run for run in wanted if run.key not in done and _claimed(run)), None)
        if run is None:
            return
        row = perform(run, data, torch.float32 if arguments.float32 else torch.bfloat16)
        with KEPT.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def _claimed(run: Run) -> bool:
    """Whether this process is the first to take a run."""
    claims = Path("build/claims")
    claims.mkdir(parents=True, exist_ok=True)
    try:
        (claims / hashlib.sha256(run.key.encode()).hexdigest()[:24]).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


if __name__ == "__main__":
    main()
