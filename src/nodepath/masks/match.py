"""Does this model carry the weights that these masks speak of?"""

import difflib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

from nodepath.errors import MaskMismatchError

__all__ = ["Slot", "check_same_entries", "match_parameters", "match_slots", "modules_by_name", "unwrap"]


@dataclass(frozen=True)
class Slot:
    """A place where a module keeps a parameter."""

    module: nn.Module
    attribute: str
    parameter: nn.Parameter


def unwrap(module: nn.Module) -> nn.Module:
    """What `torch.compile`, `DistributedDataParallel`, `DataParallel` or `AveragedModel` wraps, however deep.

    Told by the wrapper's type, never by a prefix such as `module.`, which a model may use for itself.
    """
    # Importing dynamo takes seconds; where it was never imported, no compiled module exists.
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    while True:
        if isinstance(module, DataParallel | DistributedDataParallel | AveragedModel):
            module = module.module
        elif dynamo is not None and isinstance(module, dynamo.OptimizedModule):
            module = module._orig_mod
        else:
            return module


def modules_by_name(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Like `model.named_modules(remove_duplicate=False)`, with wrappers at any depth taken off the names."""
    return _walk(model, "")


def _walk(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    module = unwrap(module)
    yield prefix, module
    for name, child in module._modules.items():  # named_children() would leave out a module's second name
        if child is not None:
            yield from _walk(child, f"{prefix}.{name}" if prefix else name)


def _slots(model: nn.Module) -> dict[str, Slot]:
    # The names with wrappers on them are known too: someone may have listed the parameters of the wrapped model.
    places = [
        *model.named_modules(remove_duplicate=False),
        *modules_by_name(model),  # last, so that they win
    ]
    return {
        f"{prefix}.{attribute}" if prefix else attribute: Slot(module, attribute, parameter)
        for prefix, module in places
        for attribute, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
    }


def _missing(name: str, slots: Mapping[str, Slot]) -> MaskMismatchError:
    if f"{name}_orig" in slots:
        return MaskMismatchError(
            f"the model keeps '{name}' as '{name}_orig': torch.nn.utils.prune holds it; "
            "read its masks with from_torch_prune, then call torch.nn.utils.prune.remove"
        )
    close = difflib.get_close_matches(name, slots, n=1)
    hint = f"the nearest is '{close[0]}'" if close else f"it has {len(slots)} others"
    return MaskMismatchError(f"the model has no parameter '{name}' ({hint}); use the masks of this very model")


def match_slots(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, Slot]:
    """Where the model keeps each masked parameter; nothing is changed.

    Args:
        model: Plain, or wrapped as `unwrap` knows; parameters may go by any of their names.
        masks: Parameter name -> mask; only shapes are looked at.

    Raises:
        MaskMismatchError: A parameter is missing, has another shape, has no shape yet, or has two masks because it
            goes by two names. Names the parameter.
    """
    slots = _slots(model)
    first_names: dict[nn.Parameter, str] = {}
    for name, mask in masks.items():
        if name not in slots:
            raise _missing(name, slots)
        parameter = slots[name].parameter
        if is_lazy(parameter):
            raise MaskMismatchError(f"parameter '{name}' has no shape yet; run the model once on an example input")
        if mask.shape != parameter.shape:
            raise MaskMismatchError(
                f"mask '{name}' has shape {tuple(mask.shape)}, the model's parameter {tuple(parameter.shape)}; "
                "use the masks of this very model"
            )
        first = first_names.setdefault(parameter, name)
        if first != name:
            raise MaskMismatchError(f"masks '{first}' and '{name}' speak of one and the same weight; drop one of them")
    return {name: slots[name] for name in masks}


def match_parameters(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    """The model's parameter for each mask; nothing is changed.

    Args, raises: as `match_slots`.
    """
    return {name: slot.parameter for name, slot in match_slots(model, masks).items()}


def check_same_entries(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> None:
    """Two mask sets speak of the same weights.

    Raises:
        MaskMismatchError: A name is in one only, or the shapes under a name differ; names it.
    """
    for name in [*left, *right]:
        if name not in left or name not in right:
            side = "left" if name in left else "right"
            raise MaskMismatchError(f"mask '{name}' is in the {side} mask set only; both must have the same names")
        if left[name].shape != right[name].shape:
            raise MaskMismatchError(
                f"mask '{name}' has shape {tuple(left[name].shape)} in the left mask set and "
                f"{tuple(right[name].shape)} in the right; both must come from the same model"
            )
