"""Data-free methods against a plain loop of as many float32 forward and backward passes, and `kthvalue`."""

import time
import warnings
from collections.abc import Callable, Iterator
from statistics import median

import torch

import nodepath
from bench.timing import Comparison, compare
from nodepath.errors import CollapseWarning
from nodepath.methods.arguments import kept_count, seeded
from nodepath.methods.flow.by_flow import walked
from nodepath.methods.problem import Problem
from nodepath.paths import Network
from nodepath.scores import Subject

MODELS = (*nodepath.models.names(), "torchvision:resnet50", "torchvision:efficientnet_b0")
ITERATIONS = 100
SMALL = ("convnet4", "lenet5", "mlp-6x100", "resnet20", "resnet32")
LOOPS = {**dict.fromkeys(SMALL, 50), "torchvision:resnet50": 3}
"""So many iterations of the loop are timed, each of which does the same; else 5."""

REPEATS = dict.fromkeys(SMALL, 3)
"""So often both are timed; else once, as long as that takes."""

Prune = Callable[..., nodepath.MaskSet]

REFERENCE = {**dict.fromkeys(SMALL, 100), "torchvision:resnet50": 10, "torchvision:efficientnet_b0": 10}
"""So many iterations of walks in float64, with whose masks ours are compared; else 15. Of all 100: docs/bench.md."""


def plain_loop(model: torch.nn.Module, x: torch.Tensor, iterations: int) -> None:
    weights = [p for p in model.parameters() if p.ndim > 1]
    for _ in range(iterations):
        model.zero_grad()
        model(torch.ones_like(x)).sum().backward()
        scores = torch.cat([(w * w.grad).abs().flatten() for w in weights])
        torch.kthvalue(scores, scores.numel() // 2)


def walked_masks(model: torch.nn.Module, x: torch.Tensor, iterations: int) -> nodepath.MaskSet:
    """SynFlow by walks through the model, all in float64, at 99 %."""
    network = Network(model, x)
    names = tuple(network.layers)
    keep = kept_count(network, names, network.prunable, 0.99, None)
    problem = Problem(network, Subject(network, seeded(0)), network.weights(), names, keep)
    return nodepath.MaskSet(walked(problem, iterations).masks)


def against_loop(
    name: str, method: str, resolution: str, pruned: Prune, model: torch.nn.Module, x: torch.Tensor
) -> tuple[Comparison, nodepath.MaskSet]:
    """Ours and the loop, in turn, and our masks; both have run for a few iterations before."""
    loops, times, masks = LOOPS.get(name, 5), ([], []), []
    pruned(method, resolution, iterations=2), plain_loop(model, x, 1)
    for _ in range(REPEATS.get(name, 1)):
        began = time.perf_counter()
        masks.append(pruned(method, resolution))
        between = time.perf_counter()
        plain_loop(model, x, loops)
        times[0].append(between - began)
        times[1].append((time.perf_counter() - between) * ITERATIONS / loops)
    row = f"{method} {name}, {ITERATIONS} iterations, {resolution}"
    against = f"{ITERATIONS} x (forward+backward, float32, kthvalue), from {loops}"
    return Comparison(row, median(times[0]), median(times[1]), against), masks[-1]


def run() -> Iterator[Comparison]:
    warnings.simplefilter("ignore", CollapseWarning)
    for name in MODELS:
        model = nodepath.models.create(name, seed=0).eval()
        x = torch.zeros(1, *nodepath.models.describe(name).input_size)

        def pruned(
            method: str, resolution: str = "pixel", model: torch.nn.Module = model, x: torch.Tensor = x, **options: int
        ) -> nodepath.MaskSet:
            return nodepath.prune(model, x, method, sparsity=0.99, on_collapse="warn", resolution=resolution, **options)

        for method in ("synflow", "synflow-npb"):
            masks = {}
            for resolution in ("pixel", "channel"):
                times, masks[resolution] = against_loop(name, method, resolution, pruned, model, x)
                yield times
            same = masks["channel"].overlap(masks["pixel"]).total
            yield Comparison(f"{method} {name}: overlap with pixel resolution", same, 1.0, "the same mask", unit="")
        iterations = REFERENCE.get(name, 15)
        began = time.perf_counter()
        reference = walked_masks(model, x, iterations)
        seconds = time.perf_counter() - began
        overlap = pruned("synflow", iterations=iterations).overlap(reference).total
        against = f"{iterations} iterations of walks in float64, {seconds:.0f} s"
        yield Comparison(f"synflow {name}: overlap with float64", overlap, 1.0, against, unit="")
        yield compare(
            f"npb {name} at 99 %",
            lambda pruned=pruned: pruned("npb"),
            lambda model=model, x=x: plain_loop(model, x, 1),
            "1 x (forward+backward, float32, kthvalue)",
            repeats=3,
        )
