"""MaskSet: which weights of a model stay, as a value."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nodepath.masks import files
from nodepath.masks.bits import digest, pack
from nodepath.masks.count import count_true
from nodepath.masks.entry import LayerCount, fraction_removed, to_mask
from nodepath.masks.hold import hold, zero_
from nodepath.masks.match import check_same_entries
from nodepath.masks.metadata import JSON, to_text
from nodepath.masks.overlap import Overlap, overlap

__all__ = ["MaskSet", "borrowed"]


class MaskSet(Mapping[str, Tensor]):
    """An immutable mapping: parameter name -> bool tensor of the weight's shape, True where the weight is kept.

    Its own tensors never leave it: the constructor copies, and `masks[name]` (so `values()` and `items()`) hands out
    a clone, which a caller may change without any effect here. So counts and hash are computed once and stay true.
    One byte a weight in memory, one bit in a file; a clone is a plain copy of memory, a quarter of a float32 weight.

    Equality and hash go by names, shapes and bits; order, device and metadata do not count.

    Args:
        masks: Parameter name -> bool tensor, or tensor of another dtype that holds nothing but exact 0 and 1. Stays on
            its device. A parameter that is absent is not pruned. May be empty.
        metadata: Where the masks come from, JSON-ready: method, options, seed, protocol, versions.

    Raises:
        MaskMismatchError: An entry is not a dense tensor of 0 and 1; names the entry.
        ArgumentError: The metadata is not JSON; names the key.
    """

    _masks: dict[str, Tensor]
    _metadata: str

    def __init__(self, masks: Mapping[str, Tensor], metadata: Mapping[str, JSON] | None = None) -> None:
        own = masks._masks if isinstance(masks, MaskSet) else masks
        self._masks = {name: to_mask(name, tensor) for name, tensor in own.items()}
        self._metadata = to_text(metadata or {})

    @classmethod
    def _adopt(cls, masks: dict[str, Tensor], metadata: str) -> "MaskSet":
        """A mask set around bool tensors that nobody else holds, without the copy."""
        made = cls.__new__(cls)
        made._masks = masks
        made._metadata = metadata
        return made

    # Mapping

    def __getitem__(self, name: str) -> Tensor:
        """A clone of one mask: bool, shape of the weight."""
        return self._masks[name].clone()

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    def __contains__(self, name: object) -> bool:
        return name in self._masks

    def __repr__(self) -> str:
        return f"MaskSet({len(self)} layers, {self.kept} of {self.total} weights kept, sparsity {self.sparsity:.6g})"

    # What it says

    @cached_property
    def layers(self) -> Mapping[str, LayerCount]:
        """Parameter name -> shape, kept, total, sparsity; read-only, in the order of the entries."""
        return MappingProxyType(
            {name: LayerCount(tuple(mask.shape), count_true(mask), mask.numel()) for name, mask in self._masks.items()}
        )

    @property
    def kept(self) -> int:
        """Number of weights, of its own entries, whose mask is 1."""
        return sum(layer.kept for layer in self.layers.values())

    @property
    def total(self) -> int:
        """Number of weights of its own entries."""
        return sum(mask.numel() for mask in self._masks.values())

    @property
    def sparsity(self) -> float:
        """Fraction removed of its own entries; 0.0 for an empty mask set, which removes nothing."""
        return fraction_removed(self.kept, self.total)

    @property
    def density(self) -> float:
        """1 - sparsity."""
        return 1.0 - self.sparsity

    @property
    def metadata(self) -> dict[str, Any]:
        """A fresh, JSON-ready dict on each call: changing it changes nothing here."""
        return dict(json.loads(self._metadata))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of names, shapes and bits (64 hexadecimal digits); `bits.digest` says of what exactly.

        The same on any device, in any process and for any order of the entries; metadata does not enter.
        """
        return digest((name, tuple(mask.shape), pack(mask)) for name, mask in sorted(self._masks.items()))

    # Values: compare, combine, move

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MaskSet):
            return NotImplemented
        return self._masks.keys() == other._masks.keys() and all(
            torch.equal(mask, other._masks[name].to(mask.device)) for name, mask in self._masks.items()
        )

    def __hash__(self) -> int:
        return int(self.hash[:16], 16)

    def __and__(self, other: "MaskSet") -> "MaskSet":
        """What both keep, on the device of the left; MaskMismatchError where names or shapes differ."""
        if not isinstance(other, MaskSet):
            return NotImplemented
        check_same_entries(self._masks, other._masks)
        masks = {name: mask & other._masks[name].to(mask.device) for name, mask in self._masks.items()}
        return MaskSet._adopt(masks, self._joint_metadata("and", other))

    def __or__(self, other: "MaskSet") -> "MaskSet":
        """What either keeps, on the device of the left; MaskMismatchError where names or shapes differ."""
        if not isinstance(other, MaskSet):
            return NotImplemented
        check_same_entries(self._masks, other._masks)
        masks = {name: mask | other._masks[name].to(mask.device) for name, mask in self._masks.items()}
        return MaskSet._adopt(masks, self._joint_metadata("or", other))

    def _joint_metadata(self, operation: str, other: "MaskSet") -> str:
        return to_text({"operation": operation, "operands": [self.metadata, other.metadata]})

    def overlap(self, other: "MaskSet") -> Overlap:
        r"""Jaccard index of the kept weights, $|A \cap B| / |A \cup B|$, in all and by layer.

        Two layers that both keep nothing overlap by 1.0.

        Raises:
            MaskMismatchError: Other names or shapes; names the entry.
        """
        return overlap(self._masks, other._masks)

    def to(self, device: torch.device | str | int) -> "MaskSet":
        """The same masks on a device."""
        return MaskSet._adopt({name: mask.to(device) for name, mask in self._masks.items()}, self._metadata)

    # Models

    def apply_(self, model: nn.Module) -> None:
        """Set the model's pruned weights to zero, once, in place, without touching gradients.

        Everything is checked before anything is touched. Nothing keeps the zeros there afterwards; `hold` does.
        Wrappers (`torch.compile`, `DistributedDataParallel`, `DataParallel`, `AveragedModel`) are looked through.

        Raises:
            MaskMismatchError: The model lacks a parameter or has it in another shape; names it and both shapes.
        """
        zero_(model, self._masks)

    def hold(
        self,
        model: nn.Module,
        optimizer: Optimizer | Iterable[Optimizer] | None = None,
        *,
        dense_gradients: bool = False,
    ) -> AbstractContextManager[None]:
        """Context manager: pruned weights are exactly zero after every step of the optimizer, in anybody's loop.

        At entry the model is checked and its pruned weights are set to zero. Inside, their gradients are set to zero
        as soon as they are accumulated (so that clipping by norm, momentum and the whole trajectory are those of
        `torch.nn.utils.prune`, bit for bit), and the weights once more after every `optimizer.step()`, against
        momentum, weight decay and what the optimizer remembers from before. At exit, also after an exception, the
        weights are set to zero a last time and all hooks go. Keys of the state_dict never change; parameters without
        a mask and the optimizer's state are left alone; a frozen parameter is zeroed and gets no gradient hook.

        Inside a step that evaluates its closure several times (LBFGS) weights may leave zero if the optimizer
        remembers dense gradients; after the step they are zero. Weights written by hand inside the block
        (`load_state_dict`) are zero again after the next step and at exit.

        Hooks sit on this model's parameters: a deepcopy, an unpickled copy or parameters put in later
        (`load_state_dict(assign=True)`) are not held: hold them again. Wrapping the model in
        `DistributedDataParallel` or `torch.compile` may come before or after.

        Args:
            model: Plain or wrapped, as in `apply_`.
            optimizer: One, or several. None: gradients are masked and the weights zeroed at entry and exit only;
                enough for an optimizer that starts afresh and moves each weight by its own gradient and decay.
            dense_gradients: Leave the gradients of pruned weights as they are, for methods that regrow by them
                (RigL); their momentum builds up and they count in a gradient norm.

        Raises:
            MaskMismatchError: At entry: the model lacks a parameter or has it in another shape, nothing was touched.
                At exit: a parameter was replaced while held.
            ArgumentError: Not an optimizer, or `dense_gradients` without one.
        """
        return hold(self._masks, model, optimizer, dense_gradients=dense_gradients)

    # Files

    def save(self, path: files.StrPath) -> None:
        """Write a safetensors file, one bit a weight, with shapes and metadata in its header.

        In one stroke (a temporary file beside it, renamed), and always the same bytes for the same masks in the same
        order with the same metadata.

        Raises:
            MaskFileError: The system refuses to write there.
        """
        files.write(path, self._masks, self.metadata)

    @classmethod
    def load(cls, path: files.StrPath) -> "MaskSet":
        """Read a file that `save` wrote; the masks come on the CPU. Runs no code from the file (no pickle).

        Raises:
            MaskFileError: The file is missing, cut short, changed, or not a mask file; names it and what is wrong.
        """
        masks, metadata = files.read(path)
        return cls._adopt(masks, to_text(metadata))


def borrowed(masks: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Masks without the copies that a mask set hands out, to be read and never written into."""
    return MappingProxyType(masks._masks) if isinstance(masks, MaskSet) else masks
