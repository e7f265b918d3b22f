"""Masks from and to other people's forms: `.pt` files and `torch.nn.utils.prune`."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from nodepath.errors import MaskFileError, MaskMismatchError
from nodepath.masks.files import StrPath
from nodepath.masks.mask_set import MaskSet
from nodepath.masks.match import match_slots, modules_by_name

__all__ = ["from_pt", "from_torch_prune", "to_torch_prune_"]


def _parameter_name(key: str) -> str | None:
    """The parameter that a key such as `layer.weight_mask` or `layer.mask` speaks of; None without that suffix."""
    if key.endswith(".mask"):
        return f"{key.removesuffix('.mask')}.weight"
    if key.endswith("_mask"):
        return key.removesuffix("_mask")
    return None


def from_pt(path: StrPath) -> MaskSet:
    """Read masks that other programs wrote with `torch.save`: a dict name -> tensor of 0 and 1.

    Keys may carry a suffix: `layer.weight_mask` is the mask of `layer.weight`, and so is `layer.mask`. Where any key
    carries one, only those that do are read, so that the state_dict of a pruned model (weights, biases and all) works
    as it is. Read with `weights_only=True`: no code from the file runs.

    Raises:
        MaskFileError: The file is missing, damaged, holds other things than a dict of tensors, or a value that is
            neither 0 nor 1; names the file and what is wrong.
    """
    path = Path(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise MaskFileError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except Exception as error:  # torch.load raises a dozen kinds for a damaged file
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MaskFileError(f"{path} is no file of plain tensors ({reason}); save a dict name -> tensor") from error
    if not isinstance(content, dict):
        raise MaskFileError(f"{path} holds a {type(content).__name__}; save a dict parameter name -> tensor of 0 and 1")
    named = {str(key): _parameter_name(str(key)) for key in content}
    suffixed = any(name is not None for name in named.values())
    masks: dict[str, Tensor] = {}
    for key, value in content.items():
        name = named[str(key)] if suffixed else str(key)
        if name is None:
            continue
        if name in masks:
            raise MaskFileError(f"{path} holds two masks of '{name}', one of them '{key}'; save one")
        masks[name] = value
    try:
        return MaskSet(masks, {"source": path.name})
    except MaskMismatchError as error:
        raise MaskFileError(f"{path}: {error}") from error


def from_torch_prune(model: nn.Module) -> MaskSet:
    """The masks that `torch.nn.utils.prune` put on a model; the model stays as it is.

    To train on with `hold`, call `torch.nn.utils.prune.remove` on the pruned tensors first: it gives the parameters
    their own names back.

    Raises:
        MaskMismatchError: No module of the model is pruned that way.
    """
    masks: dict[str, Tensor] = {}
    seen: set[nn.Module] = set()
    for prefix, module in modules_by_name(model):
        if module in seen:
            continue
        seen.add(module)
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, prune.BasePruningMethod):
                tensor = hook._tensor_name
                masks[f"{prefix}.{tensor}" if prefix else tensor] = getattr(module, f"{tensor}_mask")
    if not masks:
        raise MaskMismatchError("no module of the model is pruned by torch.nn.utils.prune; prune it, or use MaskSet")
    return MaskSet(masks, {"source": "torch.nn.utils.prune"})


def to_torch_prune_(model: nn.Module, masks: MaskSet) -> None:
    """Put the masks on a model in the form of `torch.nn.utils.prune` (`weight_orig`, `weight_mask`), in place.

    Parameters keep their identity, so an optimizer made before goes on working. Everything is checked before anything
    is touched.

    Raises:
        MaskMismatchError: The model lacks a parameter, has it in another shape, or shares it between two modules
            (torch.nn.utils.prune would prune one and untie the other); names it.
    """
    slots = match_slots(model, masks)
    owners: dict[nn.Parameter, set[nn.Module]] = {}
    for _, module in modules_by_name(model):
        for parameter in module.parameters(recurse=False):
            owners.setdefault(parameter, set()).add(module)
    for name, slot in slots.items():
        if len(owners[slot.parameter]) > 1:
            raise MaskMismatchError(
                f"parameter '{name}' is shared by {len(owners[slot.parameter])} modules, which torch.nn.utils.prune "
                "would untie; use MaskSet.hold"
            )
    for name, slot in slots.items():
        prune.custom_from_mask(slot.module, slot.attribute, masks[name].to(slot.parameter.device))  # type: ignore[no-untyped-call]
