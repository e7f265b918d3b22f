"""Run a model with other tensors in the place of its own."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

from nodepath.errors import ArgumentError
from nodepath.paths.surroundings import callers_device

__all__ = ["run_with"]


def run_with(
    model: nn.Module, values: dict[str, Tensor], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
) -> Any:
    """The outputs of a model with other parameters and buffers; afterwards it holds its own again.

    A tensor that the model holds in several places is replaced in each, by the first value given for it, but where a
    place has a value of its own. A module may go by several names, of which any will do.

    Args:
        model: In the mode to run in.
        values: Name -> what to run with. A buffer that the pass replaces is replaced here too.
        args: Positional arguments.
        kwargs: Keyword arguments.

    Raises:
        ArgumentError: The model has nothing of that name.
    """
    held: dict[str, Tensor | None] = {}  # by the first name of each place
    first: dict[str, str] = {}  # any name -> the first name of its place
    places: dict[tuple[int, str], str] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for attribute, tensor in (*module._parameters.items(), *module._buffers.items()):
            name = f"{prefix}.{attribute}" if prefix else attribute
            first[name] = places.setdefault((id(module), attribute), name)
            held.setdefault(first[name], tensor)
    unknown = [name for name in values if name not in first]
    if unknown:
        raise ArgumentError(f"{type(model).__name__} has no parameter or buffer '{unknown[0]}'; use its own names")
    own = {first[name]: value for name, value in values.items()}
    shared = {id(held[name]): own[name] for name in reversed(own) if held[name] is not None}  # the first of several
    # torch's own tying (tie_weights) swaps a place as often as it has names, and puts back what it swapped in
    filled = {name: own[name] if name in own else shared.get(id(tensor)) for name, tensor in held.items()}
    swapped = {name: value for name, value in filled.items() if value is not None}
    with callers_device():
        outputs = functional_call(model, swapped, args, dict(kwargs or {}), tie_weights=False)
    values.update({name: swapped[first[name]] for name in values})
    return outputs
