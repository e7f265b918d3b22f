"""`measure` against one float32 forward and backward pass of the same dense model at the same input."""

from collections.abc import Iterator

import torch

import nodepath
from bench.timing import Comparison, compare

MODELS = ("resnet20", "vgg19", "resnet18-tiny", "wrn-16-8")


def run() -> Iterator[Comparison]:
    for name in MODELS:
        model = nodepath.models.create(name, seed=0).eval()
        x = torch.randn(1, *nodepath.models.describe(name).input_size)
        masks = nodepath.prune(model, x, "erk", sparsity=0.99, on_collapse="warn")

        def train_pass(model=model, x=x) -> None:
            model.zero_grad()
            model(x).sum().backward()

        yield compare(
            f"measure {name} at 99 %",
            lambda model=model, x=x, masks=masks: nodepath.measure(model, x, masks),
            train_pass,
            "forward+backward, float32",
        )
