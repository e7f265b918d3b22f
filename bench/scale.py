"""`measure` in channel resolution on GPT-style decoders of 0.3 million to 1 billion parameters."""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

import nodepath
from bench.gpt import GPT
from bench.memory import peak_bytes
from bench.timing import Comparison

SIZES = ((64, 6, 10), (256, 4, 1000), (512, 10, 2000), (1024, 8, 5000), (2048, 19, 20_000))
"""Width, depth, vocabulary."""


def run() -> Iterator[Comparison]:
    points = []
    for size in SIZES:
        action, parameters = subject(*size)
        action()
        began = time.perf_counter()
        action()
        seconds = time.perf_counter() - began
        weights = parameters / 1e6
        points.append((math.log(weights), math.log(seconds)))
        del action
        yield Comparison(f"measure GPT of {weights:.1f} million, channel", seconds, weights / 1e3, "billion parameters")
    middle = [sum(values) / len(points) for values in zip(*points, strict=True)]
    rise = sum((a - middle[0]) * (b - middle[1]) for a, b in points)
    run = sum((a - middle[0]) ** 2 for a, _ in points)
    yield Comparison("slope of log seconds in log parameters", rise / run, 1.0, "linear", unit="")
    peak = peak_bytes(partial(counting, *SIZES[-1])) / 1e9
    yield Comparison("memory of the largest", peak, 4e-9 * parameters, "its parameters, float32", unit="GB")


def subject(width: int, depth: int, vocabulary: int) -> tuple[Callable[[], object], int]:
    """A measurement with random masks at 90 %, and the number of parameters."""
    model = filled(width, depth, vocabulary)
    masks = {
        f"{name}.weight": _drawn(module.weight)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not model.head
    }
    ids = torch.zeros(1, 1024, dtype=torch.long)
    parameters = sum(p.numel() for p in model.parameters())
    return partial(nodepath.measure, model, ids, masks, resolution="channel"), parameters


def counting(width: int, depth: int, vocabulary: int) -> Callable[[], object]:
    return subject(width, depth, vocabulary)[0]


def filled(width: int, depth: int, vocabulary: int) -> GPT:
    """Constant weights: drawing a billion takes longer than the measurement, which reads none."""
    with torch.device("meta"):
        model = GPT(width, depth, vocabulary)
    model.to_empty(device="cpu")
    model.head.weight = model.tokens.weight
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.01)
    return model


def _drawn(weight: Tensor) -> Tensor:
    return torch.empty(weight.shape, dtype=torch.bool).bernoulli_(0.1)
