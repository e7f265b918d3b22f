"""Data-free methods against a plain loop of as many float32 forward and backward passes, and `kthvalue`."""

from collections.abc import Iterator

import torch

import nodepath
from bench.timing import Comparison, compare

MODELS = ("resnet20", "vgg19", "resnet18-tiny")


def plain_loop(model: torch.nn.Module, x: torch.Tensor, iterations: int) -> None:
    weights = [p for p in model.parameters() if p.ndim > 1]
    for _ in range(iterations):
        model.zero_grad()
        model(torch.ones_like(x)).sum().backward()
        scores = torch.cat([(w * w.grad).abs().flatten() for w in weights])
        torch.kthvalue(scores, scores.numel() // 2)


def run() -> Iterator[Comparison]:
    for name in MODELS:
        model = nodepath.models.create(name, seed=0).eval()
        x = torch.zeros(1, *nodepath.models.describe(name).input_size)
        for method, iterations in (("synflow", 10), ("npb", 1)):
            options = {"iterations": iterations} if method == "synflow" else {}
            yield compare(
                f"{method} {name} at 99 %" + (f", {iterations} iterations" if options else ""),
                lambda model=model, x=x, method=method, options=options: nodepath.prune(
                    model, x, method, sparsity=0.99, on_collapse="warn", **options
                ),
                lambda model=model, x=x, iterations=iterations: plain_loop(model, x, iterations),
                f"{iterations} x (forward+backward, float32, kthvalue)",
                repeats=3,
            )
