"""Several ranks of `torch.distributed`: one score batch of what all hold, and one mask for all."""

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from nodepath.errors import NodepathError
from nodepath.masks import MaskSet
from nodepath.paths.nested import replace_tensors, tensors_in
from nodepath.scores import Batch

__all__ = ["are_several", "gathered", "of_the_first"]

T = TypeVar("T")


def are_several() -> bool:
    """Whether a process group of more than one rank has been initialised."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def gathered(read: Callable[[], Batch | None]) -> Batch | None:
    """The batches of all ranks as one: their parts in rank order; one of them if all are the same by their hash.

    All ranks have to call this.

    Args:
        read: Gives the batch of this rank; None: no method needs one, on any rank.

    Raises:
        NodepathError: Reading failed on a rank; on that one, what it raised.
    """

    def look() -> tuple[Batch | None, Any]:
        own = read()
        if own is None:
            return None, None
        return own, (own.hash, replace_tensors(own.parts, lambda tensor: tensor.detach().cpu()))

    found, failure = _tried(look)
    own, note = found or (None, None)
    notes: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(notes, (failure is not None, note))
    if failure is not None:
        raise failure
    for rank, (failed, _) in enumerate(notes):
        if failed:
            raise NodepathError(f"rank {rank} has no score batch that can be used; see its own error")
    notes = [note for _, note in notes if note is not None]
    if own is None or len({found for found, _ in notes}) == 1:
        return own
    device = next((tensor.device for tensor in tensors_in(own.parts)), torch.device("cpu"))
    return own.of_parts(replace_tensors(part, lambda tensor: tensor.to(device)) for _, parts in notes for part in parts)


def of_the_first(choose: Callable[[], MaskSet], model: nn.Module) -> MaskSet:
    """The masks that rank 0 chooses, bit for bit, with their metadata; the others wait for them.

    All ranks have to call this.

    Args:
        choose: What rank 0 does; warnings are given there alone.
        model: Of this rank; its masks lie where it does.

    Raises:
        Exception: What rank 0 raised, on all ranks.
    """
    chosen, failure = _tried(choose) if distributed.get_rank() == 0 else (None, None)
    parcel: list[Any] = [None]
    if failure is not None:
        parcel = [_portable(failure)]
    elif chosen is not None:
        parcel = [({name: mask.cpu() for name, mask in chosen.items()}, chosen.metadata)]
    distributed.broadcast_object_list(parcel, src=0)
    if failure is not None:
        raise failure
    if isinstance(parcel[0], Exception):
        raise parcel[0]
    if chosen is not None:
        return chosen
    masks, metadata = parcel[0]
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    return MaskSet({name: mask.to(device) for name, mask in masks.items()}, metadata)


def _tried(action: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """What it gives, or what it raised, so that the other ranks need not wait for nothing."""
    try:
        return action(), None
    except Exception as error:
        return None, error


def _portable(error: Exception) -> Exception:
    """The error if another process can read it, else its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return NodepathError(f"rank 0 failed: {type(error).__name__}: {error}")
    return error
