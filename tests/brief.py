"""Methods in few iterations."""

from typing import Any

import nodepath

__all__ = ["brief"]


def brief(name: str, number: int = 7) -> dict[str, Any]:
    """Options that make an iterative method fast; none for the others."""
    method = nodepath.methods.create(name)
    short = {"iterations": number, "steps": number, "draws": 2}
    return {option: each for option, each in short.items() if hasattr(method, option)}
