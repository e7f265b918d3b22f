"""VGG-19 for CIFAR."""

from torch import nn

__all__ = ["vgg19"]

_GROUPS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels, convolutions


def vgg19(*, num_classes: int, in_channels: int) -> nn.Sequential:
    """Sixteen 3x3 convolutions with bias, each with BatchNorm and ReLU, and one Linear layer.

    2x2 max pooling after each of the first four groups, 2x2 average pooling after the fifth.
    20,070,080 prunable weights for 3 channels and 100 classes.

    Input: (batch, in_channels, 32, 32). Output: logits (batch, num_classes).

    Variants: Simonyan and Zisserman (ICLR 2015, arXiv:1409.1556) had three Linear layers and no BatchNorm.
    """
    net = nn.Sequential()
    channels, number = in_channels, 0
    for group, (width, convolutions) in enumerate(_GROUPS, start=1):
        for _ in range(convolutions):
            number += 1
            net.add_module(f"conv{number}", nn.Conv2d(channels, width, 3, padding=1))
            net.add_module(f"bn{number}", nn.BatchNorm2d(width))
            net.add_module(f"relu{number}", nn.ReLU())
            channels = width
        net.add_module(f"pool{group}", nn.MaxPool2d(2) if group < len(_GROUPS) else nn.AvgPool2d(2))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(channels, num_classes))
    return net
