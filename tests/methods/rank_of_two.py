"""One of two ranks: prunes, and writes what it got; run by a test in a process of its own."""

import json
import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

import nodepath


def build() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            *(nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(32, 4)),
        ).double()


def batch_of(rank: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rank)
    samples = 4 + 3 * rank
    return torch.randn(samples, 2, 6, 6, generator=generator, dtype=torch.float64), torch.arange(samples) % 4


X = torch.zeros(1, 2, 6, 6)
METHODS = ("snip", "grasp", "fisher", "hutchinson", "random", "synflow")


def prune(method: str, batch: object) -> nodepath.MaskSet:
    options = {"iterations": 3} if method == "synflow" else {}
    return nodepath.prune(build(), X, method, sparsity=0.7, seed=3, batch=batch, on_collapse="warn", **options)


def main(rank: int, folder: Path) -> None:
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(str(folder / "store"), 2), rank=rank, world_size=2
    )
    found: dict[str, object] = {}
    for method in METHODS:
        masks = prune(method, batch_of(rank))
        found[method] = [masks.hash, masks.metadata]
    masks = prune("snip", batch_of(0))
    found["the same batch"] = [masks.hash, masks.metadata]
    if rank == 1:  # other weights, another seed: rank 0 decides
        model = build().apply(lambda module: isinstance(module, nn.Linear) and nn.init.zeros_(module.weight))
        found["random elsewhere"] = nodepath.prune(model, X, "random", sparsity=0.7, seed=99, on_collapse="warn").hash
    else:
        found["random elsewhere"] = prune("random", None).hash
    found["failures"] = []
    for batch, sparsity in ((batch_of(rank) if rank == 0 else None, 0.7), (batch_of(rank), 0.99999)):
        try:
            nodepath.prune(build(), X, "snip", sparsity=sparsity, batch=batch)
        except nodepath.errors.NodepathError as error:
            found["failures"].append([type(error).__name__, str(error)])
    (folder / f"rank{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    main(int(sys.argv[1]), Path(sys.argv[2]))
