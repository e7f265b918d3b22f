"""ResNets of basic blocks: the CIFAR family and ResNet-18 for Tiny-ImageNet."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

__all__ = ["BasicBlock", "cifar_resnet", "resnet18_tiny"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm beside a shortcut; ReLU after the sum.

    The shortcut is the identity, or a 1x1 convolution with BatchNorm where the shape changes.

    Args:
        channels_in: Input channels.
        channels_out: Output channels.
        stride: Of the first convolution and of the shortcut.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                    bn=nn.BatchNorm2d(channels_out),
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels_in, H, W) -> (batch, channels_out, ceil(H / stride), ceil(W / stride))."""
        inner = self.relu(self.bn1(self.conv1(x)))
        out: Tensor = self.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))
        return out


def _resnet(widths: tuple[int, ...], blocks: int, *, num_classes: int, in_channels: int) -> nn.Sequential:
    """A 3x3 stem of stride 1, one stage a width with `blocks` blocks each, global average pooling, one Linear layer.

    Every stage but the first halves height and width.
    """
    net = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(widths[0]),
            relu=nn.ReLU(),
        )
    )
    channels = widths[0]
    for number, width in enumerate(widths, start=1):
        stage = nn.Sequential()
        for position in range(blocks):
            stage.append(BasicBlock(channels, width, stride=2 if number > 1 and position == 0 else 1))
            channels = width
        net.add_module(f"layer{number}", stage)
    net.add_module("pool", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(channels, num_classes))
    return net


def cifar_resnet(depth: int) -> Callable[..., nn.Sequential]:
    """The builder of ResNet-`depth` for CIFAR: 16, 32 and 64 channels, (depth - 2) / 6 blocks a stage.

    Prunable weights for 3 channels and 10 classes: ResNet-20 270,896, ResNet-32 464,432, ResNet-56 851,504.

    The built network's input: (batch, in_channels, 32, 32), or any other size. Output: logits (batch, num_classes).

    Args:
        depth: 6 n + 2 for n >= 1: layers with weights, shortcuts not counted.

    Variants: He et al. had zero-padded identity shortcuts; both node-path papers have 1x1 convolutions.

    Reference:
        He, Zhang, Ren, Sun. Deep residual learning for image recognition. CVPR 2016. arXiv:1512.03385.
    """
    return partial(_resnet, (16, 32, 64), (depth - 2) // 6)


def resnet18_tiny(*, num_classes: int, in_channels: int) -> nn.Sequential:
    """ResNet-18 with a 3x3 stem of stride 1 and no max pooling: 64, 128, 256, 512 channels, two blocks a stage.

    11,261,632 prunable weights for 3 channels and 200 classes.

    Input: (batch, in_channels, 64, 64), or any other size. Output: logits (batch, num_classes).
    """
    return _resnet((64, 128, 256, 512), 2, num_classes=num_classes, in_channels=in_channels)
