"""The initialisation of the papers' networks."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

__all__ = ["kaiming_"]


def kaiming_(model: nn.Module, generator: torch.Generator) -> None:
    r"""Draw the weights of every convolution and Linear layer anew, in place.

    $$ \theta \sim N(0, 2 / \text{fan-in}), \quad b = 0 $$

    with fan-in the number of weights that one output reads. BatchNorm gets weight 1 and bias 0.

    Args:
        model: Layers are visited in the order of `model.modules()`.
        generator: A CPU generator. Numbers are drawn on the CPU and moved, so they are the same on every device.

    Reference:
        He, Zhang, Ren, Sun. Delving deep into rectifiers. ICCV 2015. arXiv:1502.01852. Used by both node-path papers.
    """
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, (_ConvNd, nn.Linear)):
                drawn = torch.empty(layer.weight.shape, dtype=layer.weight.dtype, device="cpu")
                layer.weight.copy_(nn.init.kaiming_normal_(drawn, nonlinearity="relu", generator=generator))
                if layer.bias is not None:
                    layer.bias.zero_()
            elif isinstance(layer, _BatchNorm) and layer.affine:
                layer.weight.fill_(1.0)
                layer.bias.zero_()
