"""The table: for each torch function, the rule that says what it does to paths."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nodepath.errors import ArgumentError

__all__ = ["Rule", "register", "rule_for"]

Rule = Callable[..., Any]
"""Called as `rule(call, *args, **kwargs)` with the arguments of the torch function; see `tracer.Call`."""

R = TypeVar("R", bound=Rule)

_RULES: dict[Any, Rule] = {}
_OPERATORS = {"abs", "add", "div", "getitem", "mul", "neg", "pow", "sub", "truediv"}
_NAMESPACES = (torch, Tensor, F, torch.special)


def register(*functions: str | Callable[..., Any]) -> Callable[[R], R]:
    """Decorator: declare what torch functions do to paths.

    Args:
        functions: Functions, or names. A name stands for every function of that name in `torch`,
            `torch.Tensor`, `torch.nn.functional` and `torch.special`, its in-place form `name_` and, for
            operators, `__name__`, `__iname__` and `__rname__` included.

    Raises:
        ArgumentError: A name that torch does not know, or a function that has a rule already.
    """

    def file(rule: R) -> R:
        for function in functions:
            known = _named(function) if isinstance(function, str) else [function]
            if not known:
                raise ArgumentError(f"torch has no function '{function}'; pass the function itself")
            for each in known:
                if _RULES.setdefault(each, rule) is not rule:
                    raise ArgumentError(f"{each} has a rule already: '{_RULES[each].__name__}'")
        return rule

    return file


def _named(name: str) -> list[Any]:
    found = []
    for space in _NAMESPACES:
        dunders = (f"__{name}__", f"__i{name}__", f"__r{name}__") if name in _OPERATORS else ()
        for form in (name, f"{name}_", *dunders):
            function = getattr(space, form, None)
            if callable(function) and not isinstance(function, type):
                found.append(function)
    return found


def rule_for(function: Any) -> Rule | None:
    """The rule of a torch function, or None."""
    return _RULES.get(function)
