"""Small modules that tests put together."""

from collections.abc import Callable
from typing import Any

from torch import nn


class Wired(nn.Module):
    """Named submodules and a function that says how they are used: `wiring(self, *inputs)`."""

    def __init__(self, wiring: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.wiring = wiring

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.wiring(self, *args, **kwargs)
