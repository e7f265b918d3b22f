"""Run a user's model and leave no trace."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from nodepath.models.seeding import seeded

__all__ = ["evaluating"]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode for the time of the block; afterwards, also after an error, all is as before.

    Modes of all submodules, buffers that the forward pass writes into or replaces, and the global random states are
    restored. Gradients and parameters are not touched by what runs inside. Inference mode is left, compiled parts run
    as they were written.
    """
    modes = {module: module.training for module in model.modules()}
    held = {module: dict(module._buffers) for module in modes}
    written = [(buffer, buffer._version, buffer.detach().clone()) for buffer in model.buffers()]
    slopes = torch.is_grad_enabled()
    with ExitStack() as stack:
        stack.enter_context(seeded(0))
        stack.enter_context(torch.inference_mode(mode=False))
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)  # a kernel that runs a whole block in one
        stack.enter_context(torch.set_grad_enabled(slopes))  # leaving inference mode would switch gradients on
        if "torch._dynamo" in sys.modules:  # else nothing can be compiled, and importing it takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            model.eval()
            yield
        finally:
            for module, training in modes.items():
                module.training = training
            for module, buffers in held.items():
                module._buffers.clear()
                module._buffers.update(buffers)
            with torch.no_grad():
                for buffer, version, before in written:
                    if buffer._version != version:
                        buffer.copy_(before)
