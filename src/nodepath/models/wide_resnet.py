"""Wide ResNet of pre-activation blocks."""

from collections import OrderedDict

from torch import Tensor, nn

__all__ = ["PreActivationBlock", "wrn_16_8"]


class PreActivationBlock(nn.Module):
    """BatchNorm, ReLU and a 3x3 convolution, twice, beside a shortcut.

    The shortcut is the identity on the input, or, where the shape changes, a 1x1 convolution of the activated input.

    Args:
        channels_in: Input channels.
        channels_out: Output channels.
        stride: Of the first convolution and of the shortcut.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.relu = nn.ReLU()
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels_in, H, W) -> (batch, channels_out, ceil(H / stride), ceil(W / stride))."""
        activated = self.relu(self.bn1(x))
        inner = self.relu(self.bn2(self.conv1(activated)))
        out: Tensor = self.conv2(inner) + (x if self.shortcut is None else self.shortcut(activated))
        return out


def wrn_16_8(*, num_classes: int, in_channels: int) -> nn.Sequential:
    """A 3x3 stem of 16 channels, three stages of two blocks with 128, 256 and 512 channels, one Linear layer.

    BatchNorm, ReLU and global average pooling before the Linear layer; no dropout.
    10,954,160 prunable weights for 3 channels and 10 classes.

    Input: (batch, in_channels, 32, 32), or any other size. Output: logits (batch, num_classes).

    Reference:
        Zagoruyko, Komodakis. Wide residual networks. BMVC 2016. arXiv:1605.07146.
    """
    net = nn.Sequential(OrderedDict(conv1=nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)))
    channels = 16
    for number, width in enumerate((128, 256, 512), start=1):
        first = PreActivationBlock(channels, width, stride=1 if number == 1 else 2)
        net.add_module(f"layer{number}", nn.Sequential(first, PreActivationBlock(width, width, stride=1)))
        channels = width
    net.add_module("bn", nn.BatchNorm2d(channels))
    net.add_module("relu", nn.ReLU())
    net.add_module("pool", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(channels, num_classes))
    return net
