"""The table of the zoo: networks that nodepath, or a package that plugs into it, builds by a plain name."""

from collections.abc import Callable

from torch import nn

from nodepath.models.convnet import convnet4
from nodepath.models.initialize import kaiming_
from nodepath.models.lenet import lenet5
from nodepath.models.mlp import mlp_6x100
from nodepath.models.resnet import cifar_resnet, resnet18_tiny
from nodepath.models.spec import ModelSpec, Recipe
from nodepath.models.vgg import vgg19
from nodepath.models.wide_resnet import wrn_16_8
from nodepath.registry import Registry

__all__ = ["MODELS"]

MODELS: Registry[Recipe] = Registry("model", "nodepath.models")


def _enter(
    name: str, build: Callable[..., nn.Module], input_size: tuple[int, int, int], num_classes: int, description: str
) -> None:
    """File a network; all of the zoo share the papers' initialisation."""
    MODELS.register(name)(Recipe(ModelSpec(name, input_size, num_classes, description), build, kaiming_))


_enter("convnet4", convnet4, (1, 32, 32), 10, "four 3x3 convs with BatchNorm, small, for demonstrations")
_enter("mlp-6x100", mlp_6x100, (1, 28, 28), 10, "six Linear layers, 100 units between them, ReLU")
_enter("lenet5", lenet5, (1, 32, 32), 10, "LeNet-5 with ReLU and max pooling")
_enter("resnet20", cifar_resnet(20), (3, 32, 32), 10, "ResNet-20 for CIFAR, 16-32-64 channels, three blocks a stage")
_enter("resnet32", cifar_resnet(32), (3, 32, 32), 10, "ResNet-32 for CIFAR, 16-32-64 channels, five blocks a stage")
_enter("resnet56", cifar_resnet(56), (3, 32, 32), 10, "ResNet-56 for CIFAR, 16-32-64 channels, nine blocks a stage")
_enter("vgg19", vgg19, (3, 32, 32), 100, "VGG-19 for CIFAR, sixteen convs with BatchNorm and one Linear layer")
_enter("resnet18-tiny", resnet18_tiny, (3, 64, 64), 200, "ResNet-18 for Tiny-ImageNet, 3x3 stem without pooling")
_enter("wrn-16-8", wrn_16_8, (3, 32, 32), 10, "Wide ResNet 16-8, pre-activation, 128-256-512 channels")
