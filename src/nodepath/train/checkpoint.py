"""Where a training stands: what is needed to go on as if nothing had happened."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD

from nodepath.errors import RunError
from nodepath.train.epoch import EpochRecord
from nodepath.train.tensor_file import read_tensors, state_of, write_tensors

__all__ = ["Checkpoint"]

_FORMAT = 1
_MODEL, _MOMENTUM = "model.", "momentum."


@dataclass(frozen=True)
class Checkpoint:
    """A training after a whole number of epochs. No random state is needed: each epoch derives its own.

    Attributes:
        origin: Where it was read from or goes to, for messages.
        identity: What the training is of (recipe, seeds, masks, data), JSON-ready; a resumed one must match.
        history: One record for each epoch done.
        state: The model's state_dict.
        momentum: Parameter name -> momentum buffer, of the parameters that have one.
    """

    origin: Path
    identity: Mapping[str, Any]
    history: tuple[EpochRecord, ...]
    state: Mapping[str, Tensor]
    momentum: Mapping[str, Tensor]

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.history)

    @classmethod
    def capture(
        cls,
        origin: Path,
        identity: Mapping[str, Any],
        history: tuple[EpochRecord, ...],
        model: nn.Module,
        optimizer: SGD,
    ) -> "Checkpoint":
        """The present state of a training; shares the tensors' memory.

        Raises:
            ArgumentError: The model's state holds something else than tensors.
        """
        buffers = {name: optimizer.state[p].get("momentum_buffer") for name, p in _trained(model, optimizer).items()}
        momentum = {name: buffer for name, buffer in buffers.items() if buffer is not None}
        return cls(origin, identity, history, state_of(model), momentum)

    def save(self) -> None:
        """Write it to `origin` in one stroke, as safetensors.

        Raises:
            RunError: The system refuses to write there.
        """
        tensors = {_MODEL + name: tensor for name, tensor in self.state.items()}
        tensors |= {_MOMENTUM + name: tensor for name, tensor in self.momentum.items()}
        history = [record.to_dict() for record in self.history]
        write_tensors(self.origin, tensors, {"format": _FORMAT, "identity": dict(self.identity), "history": history})

    @classmethod
    def load(cls, path: Path | str) -> "Checkpoint":
        """Read a file that `save` wrote.

        Raises:
            RunError: The file is missing, cut short, or not a checkpoint of this format; names it.
        """
        path = Path(path)
        tensors, header = read_tensors(path)
        if header.get("format") != _FORMAT:
            raise RunError(
                f"{path} has checkpoint format {header.get('format')}, this nodepath reads {_FORMAT}; "
                "delete it to start afresh"
            )
        try:
            history = tuple(EpochRecord(**entry) for entry in header["history"])
            identity = dict(header["identity"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} has a damaged header ({error}); delete it to start afresh") from error
        return cls(path, identity, history, _under(_MODEL, tensors), _under(_MOMENTUM, tensors))

    def check(self, identity: Mapping[str, Any]) -> None:
        """Is it of this training?

        Raises:
            RunError: It is of another; names what differs and both values.
        """
        for key in sorted({*self.identity, *identity}):
            ours, theirs = identity.get(key), self.identity.get(key)
            if ours != theirs:
                raise RunError(
                    f"{self.origin} is of another training: {key} was {theirs}, now {ours}; "
                    "ask for the same, or delete it to start afresh"
                )

    def restore_(self, model: nn.Module, optimizer: SGD) -> None:
        """Put the state into a model and its optimizer, in place; the buffers go where their parameters are.

        Raises:
            RunError: The model has other parameters or shapes; nothing was touched.
        """
        own, parameters = state_of(model), _trained(model, optimizer)
        for kept, present in ((self.state, own), (self.momentum, parameters)):
            for name, tensor in kept.items():
                if name not in present or present[name].shape != tensor.shape:
                    raise RunError(
                        f"{self.origin} holds '{name}' of shape {tuple(tensor.shape)}, which this model does not have; "
                        "resume with the model of the same name, or delete it to start afresh"
                    )
        missing = sorted(set(own) - set(self.state))
        if missing:
            raise RunError(f"{self.origin} lacks '{missing[0]}' of this model; delete it to start afresh")
        model.load_state_dict(dict(self.state))
        for name, buffer in self.momentum.items():
            parameter = parameters[name]
            optimizer.state[parameter]["momentum_buffer"] = buffer.to(parameter.device, copy=True)


def _trained(model: nn.Module, optimizer: SGD) -> dict[str, nn.Parameter]:
    known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in known}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
