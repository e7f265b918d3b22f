"""The data that a score is measured on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nodepath.errors import ArgumentError
from nodepath.models.seeding import undisturbed
from nodepath.paths.nested import replace_tensors, tensors_in

__all__ = ["Batch", "Loss", "rows", "samples_in"]

Loss = Callable[[Any, Any], Tensor]
"""(outputs, targets) -> mean over the samples, a scalar."""


@dataclass(frozen=True)
class Batch:
    """Inputs, targets and the loss that joins them.

    Attributes:
        parts: One (inputs, targets) or several.
        loss: Mean over the samples of a part.
        temperature: Outputs are divided by it before the loss sees them.
    """

    parts: tuple[tuple[Any, Any], ...]
    loss: Loss = F.cross_entropy
    temperature: float = 1.0

    def mean_loss(self, outputs: Any, targets: Any) -> Tensor:
        """Mean loss over the samples of a part."""
        if self.temperature != 1.0:
            outputs = replace_tensors(outputs, lambda t: t / self.temperature if t.is_floating_point() else t)
        return self.loss(outputs, targets)

    def at_temperature(self, temperature: float) -> "Batch":
        """The same with outputs divided by so much."""
        return replace(self, temperature=temperature)

    def of_parts(self, parts: Iterable[tuple[Any, Any]]) -> "Batch":
        """The same with other data."""
        return replace(self, parts=tuple(parts))

    def in_steps(self, steps: int) -> tuple["Batch", ...]:
        """One batch a step: the parts themselves if there are as many, else all samples in order, split evenly.

        Raises:
            ArgumentError: There are fewer samples than steps, or the parts cannot be joined.
        """
        if len(self.parts) == steps:
            return tuple(self.of_parts([part]) for part in self.parts)
        if self.samples < steps:
            raise ArgumentError(
                f"batch has {self.samples} samples, and one at least is needed for each of {steps} steps; pass more"
            )
        whole = self.parts[0] if len(self.parts) == 1 else _joined(self.parts)
        borders = [self.samples * step // steps for step in range(steps + 1)]
        return tuple(self.of_parts([rows(whole, first, last)]) for first, last in pairwise(borders))

    @classmethod
    def of(cls, batch: Any, loss: Loss | None = None) -> "Batch":
        """Read one pair (inputs, targets) or an iterable of them.

        Inputs and targets may be tuples, lists or mappings of tensors. Two pairs and a pair of two pairs look alike,
        and are read as two; in a list, `[(inputs, targets)]`, a pair is one whatever it holds. Targets may be None, for
        a loss that needs none. What an iterable draws from the global random state, it gives back.

        Raises:
            ArgumentError: Neither, a loss that is no function, or see `samples_in`.
        """
        if loss is not None and not callable(loss):
            raise ArgumentError(
                f"loss is {loss!r}; pass a function of (outputs, targets) that gives the mean over the samples, e.g. "
                "torch.nn.functional.cross_entropy"
            )
        if not isinstance(batch, Iterable):
            raise ArgumentError(
                f"batch is a {type(batch).__name__}; pass (inputs, targets) or an iterable of such pairs"
            )
        with undisturbed():  # a DataLoader draws a seed for its workers, even if it shuffles nothing
            parts = [tuple(batch)] if _is_pair(batch) else [_pair(part) for part in batch]
        if not parts:
            raise ArgumentError("batch is empty; pass (inputs, targets)")
        for number, part in enumerate(parts):
            samples = samples_in(part)
            if samples == 0:
                where = f"part {number} of the batch" if len(parts) > 1 else "batch"
                raise ArgumentError(f"{where} has 0 samples; pass inputs and targets of one sample at least")
            if isinstance(part[0], Tensor) and not _has_rows(part[0], samples):
                raise ArgumentError(f"batch has {_length(part[0])} inputs and {samples} targets; they must be as many")
        return cls(tuple(parts), F.cross_entropy if loss is None else loss)

    @property
    def samples(self) -> int:
        """Number of samples in all parts."""
        return sum(map(samples_in, self.parts))

    @property
    def hash(self) -> str:
        """16 hexadecimal digits of SHA-256 over the bytes of all tensors, in order."""
        digest = sha256()
        for tensor in tensors_in(self.parts):
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]


def rows(part: tuple[Any, Any], first: int, last: int) -> tuple[Any, Any]:
    """Samples `first` .. `last - 1` of a part: of each tensor with an entry a sample on its first axis."""
    samples = samples_in(part)
    cut: tuple[Any, Any] = replace_tensors(part, lambda t: t[first:last] if _has_rows(t, samples) else t)
    return cut


def samples_in(part: tuple[Any, Any]) -> int:
    """Number of samples in a part: the length of the first axis of its targets, or if they hold no tensor, its inputs.

    Raises:
        ArgumentError: The tensors disagree, or none has an axis.
    """
    what, tensors = "targets", tensors_in(part[1])
    if not tensors:
        what, tensors = "inputs", tensors_in(part[0])
    lengths = {len(tensor) for tensor in tensors if tensor.ndim > 0}  # a number may hold for all samples
    if not lengths:
        raise ArgumentError(f"the {what} of the batch have no axis of samples; pass tensors of shape (samples, ...)")
    if len(lengths) > 1:
        raise ArgumentError(
            f"the {what} of the batch hold tensors of {' and '.join(map(str, sorted(lengths)))} samples; each needs "
            "one entry a sample on its first axis, and what holds for all samples belongs into the loss"
        )
    return lengths.pop()


def _joined(parts: tuple[tuple[Any, Any], ...]) -> tuple[Any, Any]:
    found = [tensors_in(part) for part in parts]
    if len(set(map(len, found))) > 1:
        raise ArgumentError("the parts of the batch hold different numbers of tensors; pass parts of one structure")
    columns = list(zip(*found, strict=True))
    samples = list(map(samples_in, parts))
    following = iter(columns)

    def join(first: Tensor) -> Tensor:
        tensors = next(following)
        if all(_has_rows(tensor, number) for tensor, number in zip(tensors, samples, strict=True)):
            return torch.cat(tensors)
        return first

    whole: tuple[Any, Any] = replace_tensors(parts[0], join)
    return whole


def _has_rows(tensor: Tensor, samples: int) -> bool:
    return tensor.ndim > 0 and len(tensor) == samples


def _length(tensor: Tensor) -> int:
    return len(tensor) if tensor.ndim > 0 else 1


def _is_pair(value: Any) -> bool:
    """Whether it is (inputs, targets): both may themselves be a tuple or a mapping of tensors."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    if not all(isinstance(side, tuple | list) and len(side) == 2 for side in value):
        return isinstance(value[0], Tensor | tuple | list | Mapping)
    return False  # two pairs


def _pair(part: Any) -> tuple[Any, Any]:
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise _no_batch(part)
    return part[0], part[1]


def _no_batch(value: Any) -> ArgumentError:
    return ArgumentError(
        f"batch is or holds a {type(value).__name__}; pass (inputs, targets) or an iterable of such pairs"
    )
