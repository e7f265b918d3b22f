"""Dense counts beyond 1e308, against Python's integers.

In a dense network the channels that one layer makes do not differ, so a map of integers stands for all of them.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from nodepath import measure


@dataclass
class Maps:
    """Groups of equal channels: how many, and the map of integers that each has."""

    groups: list[tuple[int, np.ndarray]]

    @property
    def total(self) -> np.ndarray:
        return sum(number * values for number, values in self.groups)

    def __add__(self, other: "Maps") -> "Maps":
        return Maps([(n, a + b) for (n, a), (m, b) in zip(self.groups, other.groups, strict=True) if n == m])


def windows(values: np.ndarray, kernel: int, stride: int, padding: int) -> np.ndarray:
    padded = np.full([size + 2 * padding for size in values.shape], 0, dtype=object)
    padded[padding : padding + values.shape[0], padding : padding + values.shape[1]] = values
    side = (padded.shape[0] - kernel) // stride + 1
    made = np.full((side, side), 0, dtype=object)
    for i in range(kernel):
        for j in range(kernel):
            made += padded[i : i + stride * (side - 1) + 1 : stride, j : j + stride * (side - 1) + 1 : stride]
    return made


def conv(maps: Maps, layer: nn.Conv2d) -> Maps:
    assert layer.groups == 1
    return Maps([(layer.out_channels, windows(maps.total, layer.kernel_size[0], layer.stride[0], layer.padding[0]))])


def pool(maps: Maps, kernel: int, stride: int, padding: int = 0) -> Maps:
    return Maps([(number, windows(values, kernel, stride, padding)) for number, values in maps.groups])


def head(maps: Maps, layer: nn.Linear) -> int:
    return int(maps.total.sum()) * layer.out_features


def image(side: int) -> Maps:
    return Maps([(3, np.full((side, side), 1, dtype=object))])


def resnet(model, side: int) -> int:
    maps = pool(conv(image(side), model.conv1), 3, 2, 1)
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in stage:
            around = maps if block.downsample is None else conv(maps, block.downsample[0])
            maps = conv(conv(conv(maps, block.conv1), block.conv2), block.conv3) + around
    return head(maps, model.fc)


def densenet(model, side: int) -> int:
    maps = pool(conv(image(side), model.features.conv0), 3, 2, 1)
    for name, part in model.features.named_children():
        if name.startswith("denseblock"):
            for layer in part.values():
                maps = Maps([*maps.groups, *conv(conv(maps, layer.conv1), layer.conv2).groups])
        elif name.startswith("transition"):
            maps = pool(conv(maps, part.conv), 2, 2)
    return head(maps, model.classifier)


def log10(number: int) -> float:
    """Right to the last digit, however long the number."""
    digits = max(len(str(number)) - 30, 0)
    return math.log10(Fraction(number, 10**digits)) + digits


@pytest.mark.parametrize(("name", "count"), [("resnet152", resnet), ("densenet201", densenet)])
def test_dense_counts_at_224_pixels_equal_integers(name, count):
    torchvision = pytest.importorskip("torchvision")
    model = getattr(torchvision.models, name)()
    truth = log10(count(model, 224))
    assert truth > 308
    whole = {n: torch.ones(m.shape, dtype=torch.bool) for n, m in model.named_parameters() if m.ndim > 1}
    for masks in (None, whole):
        assert measure(model, torch.zeros(1, 3, 224, 224), masks).log10_paths == pytest.approx(truth, rel=1e-12)


def test_a_dense_densenet_at_64_pixels_equals_integers():
    torchvision = pytest.importorskip("torchvision")
    model = torchvision.models.densenet121()
    assert measure(model, torch.zeros(1, 3, 64, 64)).log10_paths == pytest.approx(log10(densenet(model, 64)), rel=1e-12)
