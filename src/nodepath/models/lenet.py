"""LeNet-5."""

from collections import OrderedDict

from torch import nn

__all__ = ["lenet5"]


def lenet5(*, num_classes: int, in_channels: int) -> nn.Sequential:
    """Two 5x5 convolutions of 6 and 16 channels without padding, then Linear layers of 120, 84 and `num_classes`.

    ReLU after every layer but the last, 2x2 max pooling after each convolution, biases everywhere.
    61,470 prunable weights for 1 channel and 10 classes.

    Input: (batch, in_channels, 32, 32). Output: logits (batch, num_classes).

    Variants: LeCun et al. (Proceedings of the IEEE, 1998) had tanh, trained subsampling and a partly connected conv2.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 6, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * 5 * 5, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, num_classes),
        )
    )
