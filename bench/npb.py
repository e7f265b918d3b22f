"""npb, npb-even and dpai against the limits they are held to: seconds in all and in solving, and memory."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

import nodepath
from bench.memory import peak_bytes
from bench.scale import SIZES, filled
from bench.timing import Comparison
from nodepath.methods.optimum import walk

MODELS = {"resnet20": 10, "vgg19": 100, "resnet18-tiny": 200}
"""The papers' networks and their classes."""
SPARSITIES = (0.6838, 0.9, 0.99)
REPEATS = 5


def run() -> Iterator[Comparison]:
    for name, classes in MODELS.items():
        model, x = subject(name, num_classes=classes)
        for sparsity in SPARSITIES:
            seconds, solving = timed(partial(pruned, model, x, sparsity=sparsity))
            yield Comparison(f"npb {name} at {100 * sparsity:g} %", seconds, 1.0, "1 s")
            yield Comparison(f"npb {name} at {100 * sparsity:g} %, solving", solving, 0.05, "0.05 s")
            seconds, _ = timed(partial(pruned, model, x, sparsity=sparsity, method="npb-even"))
            yield Comparison(f"npb-even {name} at {100 * sparsity:g} %", seconds, 1.0, "1 s")
    model, x = subject("resnet20", num_classes=10)
    began = time.perf_counter()
    pruned(model, x, sparsity=0.99, method="dpai")
    yield Comparison("dpai resnet20 at 99 %, 3,000 steps", time.perf_counter() - began, 120.0, "120 s")
    model, x = subject("torchvision:resnet50")
    for resolution, limit in (("pixel", 4.0), ("channel", 1.0)):
        seconds, solving = timed(partial(pruned, model, x, sparsity=0.95, resolution=resolution))
        yield Comparison(f"npb resnet50 at 95%, {resolution} resolution", seconds, limit, f"{limit:g} s")
        yield Comparison(f"npb resnet50 at 95%, {resolution} resolution, solving", solving, limit, f"{limit:g} s")
    del model
    action, parameters = decoder()
    began = time.perf_counter()
    action()
    yield Comparison("npb GPT of 1 billion at 95%, channel", time.perf_counter() - began, 120.0, "120 s")
    del action
    peak = peak_bytes(prepared) / 1e9
    yield Comparison("memory of it", peak, 4e-9 * parameters, "its parameters, float32; at most 3", unit="GB")


def subject(name: str, **options: int) -> tuple[nn.Module, Tensor]:
    """A model and an input."""
    model = nodepath.models.create(name, seed=0, **options)
    return model, torch.zeros(1, *nodepath.models.describe(name).input_size)


def pruned(
    model: nn.Module, x: Tensor, *, sparsity: float, resolution: str = "pixel", method: str = "npb"
) -> nodepath.MaskSet:
    return nodepath.prune(model, x, method, sparsity=sparsity, resolution=resolution)


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds of a call, and those that it spends in solving layers: medians, after a call to warm up."""
    solve, spent = walk.solve, [0.0]

    def watched(problem: walk.LayerProblem) -> Tensor:
        began = time.perf_counter()
        kept = solve(problem)
        spent[0] += time.perf_counter() - began
        return kept

    action()
    seconds, solving = [], []
    walk.solve = watched
    try:
        for _ in range(REPEATS):
            spent[0], began = 0.0, time.perf_counter()
            action()
            seconds.append(time.perf_counter() - began)
            solving.append(spent[0])
    finally:
        walk.solve = solve
    return median(seconds), median(solving)


def decoder() -> tuple[Callable[[], object], int]:
    """Pruning of the largest decoder of `bench.scale`, and the number of its parameters."""
    model = filled(*SIZES[-1])
    ids = torch.zeros(1, 1024, dtype=torch.long)
    parameters = sum(p.numel() for p in model.parameters())
    return partial(nodepath.prune, model, ids, "npb", sparsity=0.95, resolution="channel"), parameters


def prepared() -> Callable[[], object]:
    return decoder()[0]
