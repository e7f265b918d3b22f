"""Which module of a model is running."""

from types import FrameType

from torch import nn

__all__ = ["running_module"]


def running_module(model: nn.Module, frame: FrameType | None) -> str:
    """The innermost module of `model` whose method is on the stack that ends at `frame`, by its name, quoted."""
    names = {id(module): name for name, module in model.named_modules()}
    while frame is not None:
        name = names.get(id(frame.f_locals.get("self")))
        if name:
            return f"'{name}'"
        if name is not None:
            break
        frame = frame.f_back
    return f"the forward of {type(model).__name__}"
