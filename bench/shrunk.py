"""The living part of a masked network, trained in less time.

For the studies of this folder and the zoo's networks: Linears and convolutions, each before its BatchNorm, if any.
"""

import copy

from torch import Tensor, nn

import nodepath
from nodepath.paths import Network
from nodepath.paths.channels import channels

__all__ = ["shrunk"]


def shrunk(model: nn.Module, x: Tensor, masks: nodepath.MaskSet) -> tuple[nn.Module, nodepath.MaskSet]:
    """A copy without the channels that no path runs through, and the masks of what is left.

    Weights that lie on no path go too: they could only have passed on constants.

    Args:
        model: A network of the zoo; not changed.
        x: Example input.
        masks: Its masks.
    """
    masks = nodepath.effective(model, x, masks)
    network = Network(model, x)
    tied = channels(network)
    alive = tied.pinned.clone()
    for side in tied.sides:
        kept = network.layers[side.part[0]].kernels(masks[side.part[0]])
        used = kept.any(3).any(1).flatten() if side.incoming else kept.any(3).any(2).flatten()
        alive[side.channels[used]] = True
    small = copy.deepcopy(model)
    norms = _norms_after(small, x)
    small_masks = {}
    for into, out in zip(tied.sides[::2], tied.sides[1::2], strict=True):
        name = into.part[0]
        inputs, outputs = alive[into.channels], alive[out.channels]
        path = name.removesuffix(".weight")
        layer = small.get_submodule(path)
        small_masks[name] = masks[name][outputs][:, inputs]
        layer.weight = nn.Parameter(layer.weight.detach()[outputs][:, inputs].clone())
        if layer.bias is not None:
            layer.bias = nn.Parameter(layer.bias.detach()[outputs].clone())
        if path in norms:
            norm = norms[path]
            norm.num_features = int(outputs.sum())
            for kind in ("weight", "bias"):
                setattr(norm, kind, nn.Parameter(getattr(norm, kind).detach()[outputs].clone()))
            norm.running_mean, norm.running_var = norm.running_mean[outputs], norm.running_var[outputs]
    return small, nodepath.MaskSet(small_masks)


def _norms_after(model: nn.Module, x: Tensor) -> dict[str, nn.BatchNorm2d]:
    """Layer -> the BatchNorm that reads its output."""
    made: list[tuple[str, Tensor]] = []  # held, so that no memory is used twice
    found = {}

    def wrote(name: str, output: Tensor) -> None:
        made.append((name, output))

    def reads(norm: nn.BatchNorm2d, read: Tensor) -> None:
        found.update({name: norm for name, output in made if output is read})

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            hooks.append(module.register_forward_hook(lambda _m, _i, o, name=name: wrote(name, o)))
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(lambda m, i: reads(m, i[0])))
    training = model.training
    model.eval()(x)
    model.train(training)
    for hook in hooks:
        hook.remove()
    return found
