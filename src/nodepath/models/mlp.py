"""A plain multi-layer perceptron."""

from itertools import pairwise

from torch import nn

__all__ = ["mlp_6x100"]

_PIXELS = 28 * 28
_WIDTH = 100


def mlp_6x100(*, num_classes: int, in_channels: int) -> nn.Sequential:
    """Six Linear layers, 784 x `in_channels` - 100 - 100 - 100 - 100 - 100 - `num_classes`, with biases and ReLU.

    A plain ReLU network: no BatchNorm, no dropout. 119,400 prunable weights for 1 channel and 10 classes.

    Input: (batch, in_channels, 28, 28). Output: logits (batch, num_classes).
    """
    widths = [_PIXELS * in_channels] + [_WIDTH] * 5
    net = nn.Sequential()
    net.add_module("flatten", nn.Flatten())
    for number, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
        net.add_module(f"fc{number}", nn.Linear(fan_in, fan_out))
        net.add_module(f"relu{number}", nn.ReLU())
    net.add_module("fc6", nn.Linear(_WIDTH, num_classes))
    return net
