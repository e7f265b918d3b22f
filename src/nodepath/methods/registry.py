"""What a method is, and where methods are found.

A method is filed in `METHODS`; besides, every score is a method (its best weights are kept), and so is every
budget (random cells at its exact layer counts).
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from typing import Any, Protocol

from nodepath.budgets import BUDGETS
from nodepath.errors import ArgumentError, UnknownNameError
from nodepath.masks import JSON
from nodepath.methods.budgeted import RandomCells
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.scored import Scored
from nodepath.registry import Registry, nearest
from nodepath.scores import SCORES

__all__ = ["METHODS", "Method", "create", "describe", "entry_of", "name_of", "names", "needs_batch", "options_of"]


class Method(Protocol):
    """What turns a problem into masks. A frozen dataclass whose fields are its options."""

    def __call__(self, problem: Problem) -> Choice:
        """Choose exactly `problem.keep` of the included weights."""


METHODS: Registry[Callable[..., Method]] = Registry("method", "nodepath.methods")
METHODS.share_names(SCORES, BUDGETS)


def names() -> list[str]:
    """The names of all PaI methods, sorted."""
    return sorted({*METHODS, *SCORES, *BUDGETS})


def create(name: str, /, **options: Any) -> Method:
    """A method by its name, with its options.

    Raises:
        UnknownNameError: No such method; lists the known ones and the nearest.
        ArgumentError: The method has no such option, or needs one that is not given; lists those it has.
    """
    entry = entry_of(name)
    _check_options(name, entry, options)
    made = entry(**options)
    return made if name in METHODS else Scored(made) if name in SCORES else RandomCells(made)


def _check_options(name: str, entry: Callable[..., object], options: Mapping[str, Any]) -> None:
    """Compare options with what the entry takes, be it a dataclass, another class or a function."""
    taken = signature(entry).parameters.values()
    known = [each.name for each in taken if each.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)]
    takes_any = any(each.kind is Parameter.VAR_KEYWORD for each in taken)
    choices = f"it has {', '.join(known)}" if known else "it has none"
    for option in options:
        if option not in known and not takes_any:
            raise ArgumentError(f"method '{name}' has no option '{option}'; {choices}")
    for each in taken:
        if each.name in known and each.default is Parameter.empty and each.name not in options:
            raise ArgumentError(f"method '{name}' needs option '{each.name}', which has no default; {choices}")


def needs_batch(name: str, /, **options: Any) -> bool:
    """Whether a method needs data, with its options.

    Raises:
        UnknownNameError: No such method.
        ArgumentError: See `create`.
    """
    needs = getattr(entry_of(name), "needs_batch", False)
    if isinstance(needs, property):  # the options decide
        needs = getattr(create(name, **options), "needs_batch", False)
    return bool(needs)


def describe(name: str) -> str:
    """The first line of a method's docstring.

    Raises:
        UnknownNameError: No such method.
    """
    return (entry_of(name).__doc__ or "").strip().split("\n")[0]


def name_of(method: Any) -> str:
    """The name that a method object is filed under, or that of its class."""
    inner = _inner(method)
    for table in (METHODS, SCORES, BUDGETS):
        for name in table:
            if table[name] is type(inner):
                return name
    return type(inner).__name__


def options_of(method: Method) -> dict[str, JSON]:
    """The options of a method object, defaults included, as far as JSON can carry them; scores by their names."""
    inner = _inner(method)
    values: dict[str, object] = {f.name: getattr(inner, f.name) for f in fields(inner)} if is_dataclass(inner) else {}
    filed = tuple(table[name] for table in (SCORES, BUDGETS) for name in table)
    values = {key: name_of(value) if type(value) in filed else value for key, value in values.items()}
    return {key: value for key, value in values.items() if value is None or isinstance(value, str | bool | int | float)}


def _inner(method: Method) -> object:
    """The score or budget that was made a method, or the method itself; of a control, what it was made from."""
    method = getattr(method, "original", method)
    return method.score if isinstance(method, Scored) else method.budget if isinstance(method, RandomCells) else method


def entry_of(name: str) -> Any:
    """What is filed under a method's name: its own class, or that of a score or a budget.

    Raises:
        UnknownNameError: No such method.
    """
    for table in (METHODS, SCORES, BUDGETS):
        if name in table:
            return table[name]
    raise UnknownNameError(f"unknown method '{name}'; {nearest(name, names())}")
