"""Named tensors and a JSON header in one safetensors file. No pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from nodepath.atomic import write_atomically
from nodepath.errors import ArgumentError, RunError

__all__ = ["read_tensors", "state_of", "write_tensors"]

_KEY = "nodepath"


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """The model's state_dict.

    Raises:
        ArgumentError: It holds something else than tensors, which no file without pickle can carry; names the entry.
    """
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise ArgumentError(
                f"the model's state '{name}' is a {type(value).__name__}; only tensors are saved: keep it as a buffer"
            )
        state[name] = value
    return state


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write the file in one stroke.

    Args:
        path: Where to.
        tensors: Any device and strides; a tensor under two names is written twice.
        header: JSON-ready.

    Raises:
        RunError: The system refuses to write there.
    """
    plain = {name: _plain(tensor) for name, tensor in tensors.items()}
    text = json.dumps(dict(header), sort_keys=True, allow_nan=False)
    write_atomically(path, save(plain, metadata={_KEY: text}), RunError)


def _plain(tensor: Tensor) -> Tensor:
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
    return copy.copy_(tensor.detach())


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the header.

    Raises:
        RunError: The file is missing, cut short, or not one that `write_tensors` wrote; names it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        header = json.loads(metadata[_KEY])
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except (SafetensorError, KeyError, ValueError) as error:
        raise RunError(f"{path} is damaged or not written by nodepath ({error}); delete it to start afresh") from error
    if not isinstance(header, dict):
        raise RunError(f"{path} has a header that is no table; delete it to start afresh")
    return tensors, header
