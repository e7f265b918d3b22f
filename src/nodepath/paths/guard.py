"""Run a user's model and leave no trace."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch
from torch import nn

from nodepath.models.seeding import seeded

__all__ = ["evaluating"]

Repeat = Callable[[], AbstractContextManager[None]]
"""Opens a block that begins with the same random states and buffers each time."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[Repeat]:
    """Put `model` in eval mode for the time of the block; afterwards, also after an error, all is as before.

    Modes of all submodules, buffers that the forward pass writes into or replaces, and the global random states are
    restored. Gradients and parameters are not touched by what runs inside. Inference mode is left, compiled parts run
    as they were written.

    Yields:
        A context manager for each of several passes in the block, that do not see what the others left.
    """
    modules = list(model.modules())
    modes = [(module, module.training) for module in modules]
    buffers = _Buffers(modules)
    slopes = torch.is_grad_enabled()

    @contextmanager
    def repeat() -> Iterator[None]:
        with seeded(0):
            try:
                yield
            finally:
                buffers.restore()

    with ExitStack() as stack:
        stack.enter_context(repeat())
        stack.enter_context(torch.inference_mode(mode=False))
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)  # a kernel that runs a whole block in one
        stack.enter_context(torch.set_grad_enabled(slopes))  # leaving inference mode would switch gradients on
        if "torch._dynamo" in sys.modules:  # else nothing can be compiled, and importing it takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            if any(training for _, training in modes):
                model.eval()
            yield repeat
        finally:
            for module, training in modes:
                if module.training is not training:
                    module.training = training


class _Buffers:
    """What the buffers of a model are, to be put back."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self._held = [(module._buffers, dict(module._buffers)) for module in modules if module._buffers]
        self._empty = [module._buffers for module in modules if not module._buffers]
        every = {id(buffer): buffer for _, held in self._held for buffer in held.values() if buffer is not None}
        self._contents = [(buffer, buffer.detach().clone()) for buffer in every.values()]
        self._versions = [buffer._version for buffer, _ in self._contents]

    def restore(self) -> None:
        for buffers, before in self._held:
            if buffers.keys() != before.keys() or any(buffers[name] is not before[name] for name in before):
                buffers.clear()
                buffers.update(before)
        for buffers in self._empty:
            buffers.clear()
        for i, (buffer, content) in enumerate(self._contents):
            if buffer._version != self._versions[i]:
                with torch.no_grad():
                    buffer.copy_(content)
                self._versions[i] = buffer._version
