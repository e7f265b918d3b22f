"""Run a user's model and leave no trace."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from nodepath.models.seeding import seeded

__all__ = ["evaluating", "repeatable"]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` in eval mode for the time of the block; afterwards, also after an error, all is as before.

    Modes of all submodules, buffers that the forward pass writes into or replaces, and the global random states are
    restored. Gradients and parameters are not touched by what runs inside. Inference mode is left, compiled parts run
    as they were written.
    """
    modes = [(module, module.training) for module in model.modules()]
    slopes = torch.is_grad_enabled()
    with ExitStack() as stack:
        stack.enter_context(repeatable(model))
        stack.enter_context(torch.inference_mode(mode=False))
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)  # a kernel that runs a whole block in one
        stack.enter_context(torch.set_grad_enabled(slopes))  # leaving inference mode would switch gradients on
        if "torch._dynamo" in sys.modules:  # else nothing can be compiled, and importing it takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            if any(training for _, training in modes):
                model.eval()
            yield
        finally:
            for module, training in modes:
                if module.training is not training:
                    module.training = training


@contextmanager
def repeatable(model: nn.Module) -> Iterator[None]:
    """Seed the global generators; afterwards, also after an error, they and the model's buffers are as before."""
    held = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    written = [(buffer, buffer._version, buffer.detach().clone()) for buffer in model.buffers()]
    with seeded(0):
        try:
            yield
        finally:
            for buffers, before in held:
                if buffers.keys() != before.keys() or any(buffers[name] is not before[name] for name in before):
                    buffers.clear()
                    buffers.update(before)
            with torch.no_grad():
                for buffer, version, content in written:
                    if buffer._version != version:
                        buffer.copy_(content)
