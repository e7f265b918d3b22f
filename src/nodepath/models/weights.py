"""Weights of the user's, read from a file without running anything in it."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from nodepath.errors import WeightsError

__all__ = ["load_weights_"]


def load_weights_(model: nn.Module, path: str | Path) -> None:
    """Load a state dict into a model, in place.

    Args:
        model: Its parameters and buffers must have the names and shapes of the file's.
        path: `.safetensors`, or a file of `torch.save` that holds tensors alone (or a dict with them under
            "state_dict" or "model").

    Raises:
        WeightsError: The file is missing, damaged, holds code, or is of another model; names the file.
    """
    path = Path(path)
    state = _read(path)
    expected = model.state_dict()
    missing, odd = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or odd:
        what = f"lacks '{missing[0]}'" if missing else f"has '{odd[0]}', which the model has not"
        raise WeightsError(f"{path} {what}; use the weights of this very model (and --num-classes as it was trained)")
    for name, value in expected.items():
        if tuple(state[name].shape) != tuple(value.shape):
            raise WeightsError(
                f"{path} has '{name}' of shape {tuple(state[name].shape)}, the model {tuple(value.shape)}; use the "
                "weights of this very model (and --num-classes as it was trained)"
            )
    model.load_state_dict(state)


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise WeightsError(f"no weights at {path}; name a .safetensors or .pt file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        line = " ".join(str(error).split())[:160]
        raise WeightsError(f"{path} cannot be read ({line}); save a plain state dict, best as .safetensors") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no state dict; save `model.state_dict()`")
    return state
