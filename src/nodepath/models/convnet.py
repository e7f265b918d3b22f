"""A small convolutional network with BatchNorm, for demonstrations and tests."""

from collections import OrderedDict

from torch import nn

__all__ = ["convnet4"]


def convnet4(*, num_classes: int, in_channels: int) -> nn.Sequential:
    """Four 3x3 convolutions of 16, 32, 64 and 64 channels, global average pooling, one Linear layer.

    Convolutions without bias, each with BatchNorm and ReLU; all but the third halve the image. 60,688 prunable weights
    and 2.1 million multiply-adds for 1x32x32 and 10 classes: LeNet-5's size, but a network that trains when sparse,
    since BatchNorm makes up for the signal that missing weights take away.

    Input: (batch, in_channels, any height, any width). Output: logits (batch, num_classes).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before = in_channels
    for number, (channels, stride) in enumerate(((16, 2), (32, 2), (64, 1), (64, 2)), start=1):
        layers[f"conv{number}"] = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        layers[f"bn{number}"] = nn.BatchNorm2d(channels)
        layers[f"relu{number}"] = nn.ReLU()
        before = channels
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(before, num_classes)
    return nn.Sequential(layers)
