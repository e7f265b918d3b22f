"""What the caller has set for all of torch: inference mode and the default device."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar

import torch

__all__ = ["callers_device", "own_surroundings"]

_CALLERS: ContextVar[torch.device | None] = ContextVar("default device of the caller", default=None)


@contextmanager
def own_surroundings() -> Iterator[None]:
    """Leave inference mode, in which no slopes are taken, and make the CPU torch's default device.

    Generators of draws live on the CPU, and so does all that is made without a device; see `callers_device`.
    """
    device, slopes = torch.get_default_device(), torch.is_grad_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.set_grad_enabled(slopes))  # leaving inference mode would switch gradients on
        if device.type != "cpu":  # a context slows down each call of torch
            stack.callback(_CALLERS.reset, _CALLERS.set(device))
            stack.enter_context(torch.device("cpu"))
        yield


def callers_device() -> AbstractContextManager[object]:
    """The default device that the caller of `own_surroundings` had, for the forward pass of their own model."""
    device = _CALLERS.get()
    return nullcontext() if device is None else device
