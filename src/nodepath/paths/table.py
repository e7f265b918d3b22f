"""The table: for each torch function, the rule that says what it does to paths."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from nodepath.errors import ArgumentError

__all__ = ["Rule", "begins_paths", "is_plain", "reads_constants", "register", "rule_for"]

Rule = Callable[..., Any]
"""Called as `rule(call, *args, **kwargs)` with the arguments of the torch function; see `call.Call`."""

R = TypeVar("R", bound=Rule)

_RULES: dict[Any, Rule] = {}
_BEGINNINGS: dict[Any, Literal["before", "after"]] = {}
_BLIND: set[Any] = set()
_PLAIN: set[Any] = set()
_OPERATORS = set("abs add and div eq floordiv ge getitem gt invert le lt matmul mul ne neg or pow sub truediv".split())
_NAMESPACES = (torch, Tensor, F, torch.special)


def register(
    *functions: str | Callable[..., Any],
    begins: Literal["before", "after"] | None = None,
    reads_constants: bool = True,
    plain: bool = False,
) -> Callable[[R], R]:
    """Decorator: declare what torch functions do to paths.

    Args:
        functions: Functions, or names. A name stands for every function of that name in `torch`,
            `torch.Tensor`, `torch.nn.functional` and `torch.special`, its in-place form `name_` and, for
            operators, `__name__`, `__iname__` and `__rname__` included.
        begins: If their first argument is an input that is no floating-point number (token ids), paths begin at its
            elements ("before") or at those of the result ("after").
        reads_constants: What constants among their arguments hold may matter for paths (a mask, an index), and not
            only their shapes.
        plain: They are run as they are, and the rule is never asked: they return no tensor, and read no values.

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
                if begins is not None:
                    _BEGINNINGS[each] = begins
                if not reads_constants:
                    _BLIND.add(each)
                if plain:
                    _PLAIN.add(each)
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


def begins_paths(function: Any) -> Literal["before", "after"] | None:
    """Where paths begin if the function's first argument is an input that is no floating-point number."""
    return _BEGINNINGS.get(function)


def reads_constants(function: Any) -> bool:
    """Whether what constants among the function's arguments hold may matter for paths."""
    return function not in _BLIND


def is_plain(function: Any) -> bool:
    """Whether the function is run as it is."""
    return function in _PLAIN


def rule_for(function: Any) -> Rule | None:
    """The rule of a torch function, or None."""
    return _RULES.get(function)
