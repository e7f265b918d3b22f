"""Anybody's own network: a function, found by its import path, that returns one."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from nodepath.errors import ArgumentError, UnknownNameError
from nodepath.models.spec import ModelSpec, Recipe
from nodepath.models.suggestion import did_you_mean

__all__ = ["factory_recipe"]


def factory_recipe(full_name: str) -> Recipe:
    """How to build `pkg.module:factory`.

    The factory is a callable that returns an `nn.Module`. It is given `num_classes` and `in_channels` by keyword,
    each only when the user asks for it and the factory's signature takes it. Nothing says what it is made for, so
    the spec's `input_size` and `num_classes` are None. Importing the module runs the user's code.

    Raises:
        UnknownNameError: No such module, or no such name in it.
        ArgumentError: The name is not `module:factory`, or what it names is not a factory. When built: the factory
            does not take what the user asks for, needs more than that, or returns something else than a module.
    """
    factory = _load(full_name)
    parameters = _parameters(full_name, factory)

    def build(**asked: int) -> nn.Module:
        _check_call(full_name, parameters, asked)
        try:
            model = factory(**asked)
        except Exception as error:
            line = " ".join(str(error).split())
            raise ArgumentError(
                f"factory '{full_name}' raised {type(error).__name__}: {line}; call it yourself to see where"
            ) from error
        if not isinstance(model, nn.Module):
            raise ArgumentError(f"factory '{full_name}' returned a {type(model).__name__}; return a torch.nn.Module")
        return model

    return Recipe(ModelSpec(full_name, None, None, f"built by {full_name}"), build)


def _load(full_name: str) -> Callable[..., Any]:
    module_name, _, path = full_name.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), *path.split(".")]):
        raise ArgumentError(f"'{full_name}' names no factory; write 'pkg.module:factory'")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and an import of its own fails: its author needs to see where
        raise UnknownNameError(
            f"model '{full_name}': no module named '{error.name}'; install it, or put its folder on PYTHONPATH"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            hint = did_you_mean(part, dir(found))
            raise UnknownNameError(
                f"model '{full_name}': no '{part}' in '{module_name}'; {hint}name a function of that module"
            )
        found = getattr(found, part)
    if isinstance(found, nn.Module):
        raise ArgumentError(
            f"'{full_name}' is a network and not a factory, so no seed could make its weights; "
            "name a function that returns a new one"
        )
    if not callable(found):
        raise ArgumentError(
            f"'{full_name}' is of type {type(found).__name__}; name a function that returns a torch.nn.Module"
        )
    factory: Callable[..., Any] = found
    return factory


def _parameters(full_name: str, factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(factory).parameters)
    except ValueError as error:
        raise ArgumentError(
            f"factory '{full_name}' has no signature ({error}); wrap it in a Python function"
        ) from error


def _check_call(full_name: str, parameters: dict[str, inspect.Parameter], asked: dict[str, int]) -> None:
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for name, value in asked.items():
        if not takes_any and not (name in parameters and parameters[name].kind in by_keyword):
            raise ArgumentError(
                f"factory '{full_name}' takes no keyword '{name}', so {name}={value} cannot be met; "
                "leave it out, or let the factory take it"
            )
    for name, parameter in parameters.items():
        if name in asked or parameter.kind in variadic or parameter.default is not inspect.Parameter.empty:
            continue
        if name in ("num_classes", "in_channels") and parameter.kind in by_keyword:
            raise ArgumentError(f"factory '{full_name}' needs {name}; pass {name}=")
        raise ArgumentError(
            f"factory '{full_name}' needs '{name}'; only num_classes and in_channels are passed on: give it a default"
        )
