"""`measure` against one float32 forward and backward pass of the same dense model: time and memory."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

import nodepath
from bench.memory import peak_bytes
from bench.timing import Comparison, compare

ZOO = ("resnet20", "vgg19", "resnet18-tiny", "wrn-16-8")
LARGE = ("torchvision:resnet50", "torchvision:vit_b_16")
PASS = "forward+backward, float32"


def run() -> Iterator[Comparison]:
    for name in (*ZOO, *LARGE):
        model, x, masks = subject(name)
        count = partial(nodepath.measure, model, x, masks)
        yield compare(f"measure {name} at 90 %", count, partial(train_pass, model, x), PASS)
        yield compare(
            f"measure {name}, dense", partial(nodepath.measure, model, x), partial(train_pass, model, x), PASS
        )
        if name in LARGE:
            by_channel = partial(nodepath.measure, model, x, masks, resolution="channel")
            yield compare(f"measure {name}, channel resolution", by_channel, count, "pixel resolution", repeats=9)
    for name in LARGE:
        ours, reference = (peak_bytes(partial(prepare, name)) / 1e9 for prepare in (counting, training))
        yield Comparison(f"memory of measure {name} at 90 %", ours, reference, PASS, unit="GB")


def subject(name: str) -> tuple[nn.Module, Tensor, nodepath.MaskSet]:
    """A model, an input, and masks of it."""
    model = nodepath.models.create(name, seed=0).eval()
    x = torch.randn(1, *nodepath.models.describe(name).input_size)
    return model, x, nodepath.prune(model, x, "erk", sparsity=0.9, on_collapse="warn", resolution="channel")


def train_pass(model: nn.Module, x: Tensor) -> None:
    model.zero_grad()
    model(x).sum().backward()


def counting(name: str) -> Callable[[], object]:
    return partial(nodepath.measure, *subject(name))


def training(name: str) -> Callable[[], object]:
    return partial(train_pass, *subject(name)[:2])
