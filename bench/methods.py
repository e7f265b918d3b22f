"""Every method at its defaults on two of the papers' networks at 99 %: seconds against a limit, and peak memory.

Scores are measured on noise, a batch of 100 images: 10 a class for ResNet-20, one each of 100 classes for
ResNet-18. Besides, the threshold of 25 million scores, by selection.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import torch

import nodepath
from bench.memory import seconds_and_bytes
from bench.timing import Comparison
from nodepath.methods.selection import keep_best

NETWORKS = {"resnet20": (10, 100), "resnet18-tiny": (200, 100)}
"""Name -> classes and images in the batch."""
LIMITS = {"dpai": 120.0}
"""Seconds that a method may take on ResNet-20; else 60."""
SHORTENED = {
    "resnet18-tiny": {
        "dpai": ({"steps": 30}, 100),
        "force": ({"iterations": 6}, 10),
        "snip-iterative": ({"iterations": 6}, 10),
    }
}
"""Network -> method -> options of a part of its steps, which cost the same, and what its seconds are multiplied by."""
SCORES = 25_000_000


def run() -> Iterator[Comparison]:
    yield Comparison("threshold of 25 million scores", threshold(), 0.5, "0.5 s")
    for network in NETWORKS:
        for method in nodepath.methods.names():
            options, times = SHORTENED.get(network, {}).get(method, ({}, 1))
            seconds, size = seconds_and_bytes(partial(prepared, network, method, **options))
            limit, part = LIMITS.get(method, 60.0), f" ({times} times a part)" if times > 1 else ""
            yield Comparison(f"{method} {network}{part}", times * seconds, limit, f"{limit:g} s on resnet20")
            yield Comparison(f"{method} {network}, memory", size / 1e9, 24.0, "24 GB", unit="GB")


def threshold() -> float:
    """Seconds to keep the best hundredth."""
    scores = {"": torch.randn(SCORES, generator=torch.Generator().manual_seed(0))}
    times = []
    for _ in range(3):
        began = time.perf_counter()
        keep_best(scores, SCORES // 100)
        times.append(time.perf_counter() - began)
    return median(times)


def prepared(network: str, method: str, **options: int) -> Callable[[], object]:
    """A call of `prune`, with what it needs."""
    classes, images = NETWORKS[network]
    model = nodepath.models.create(network, num_classes=classes, seed=0)
    size = nodepath.models.describe(network).input_size
    assert size is not None
    batch = torch.randn(images, *size, generator=torch.Generator().manual_seed(0)), torch.arange(images) % classes
    warnings.simplefilter("ignore")
    needs = nodepath.methods.needs_batch(method)
    return partial(
        nodepath.prune,
        *(model, torch.zeros(1, *size), method),
        sparsity=0.99,
        batch=batch if needs else None,
        on_collapse="warn",
        **options,
    )
