"""What the user typed, checked: method, budget, layers, scores, seed."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from nodepath.errors import ArgumentError, BudgetError, MaskMismatchError
from nodepath.methods.registry import Method, create, name_of
from nodepath.methods.scored import Scored
from nodepath.options import is_number
from nodepath.paths import Network
from nodepath.registry import nearest
from nodepath.scores.given import Given

__all__ = [
    "Patterns",
    "check_budget",
    "check_scores",
    "check_seed",
    "included_layers",
    "kept_count",
    "listed",
    "method_from",
    "seeded",
]

Patterns = str | Sequence[str] | None
"""One `fnmatch` pattern of parameter names, or several."""


def method_from(
    method: str | Method | None, scores: Mapping[str, Tensor] | None, options: Mapping[str, Any]
) -> tuple[Method, str]:
    """The method object and its name.

    Raises:
        ArgumentError: Neither or both of method and scores, an object that is no method, or options without a name.
        UnknownNameError: No such method.
    """
    if (method is None) == (scores is None):
        raise ArgumentError("pass either method= (a name or an object) or scores= (your own numbers), not both or none")
    if isinstance(method, str):
        return create(method, **options), method
    if options:
        raise ArgumentError(
            f"option '{next(iter(options))}' belongs to no named method; give options to the object itself"
        )
    if scores is not None:
        return Scored(Given(scores)), "scores"
    if isinstance(method, type) or not callable(method):
        name = method.__name__ if isinstance(method, type) else type(method).__name__
        raise ArgumentError(f"method is {name}, which is no method object; pass a name, or an object such as {name}()")
    return method, name_of(method)


def check_budget(
    sparsity: float | None, effective_sparsity: float | None, layer_counts: Mapping[str, int] | None
) -> None:
    """One of the three says how many weights are kept.

    Raises:
        ArgumentError: None or several of them, or a sparsity that is no number in [0, 1).
    """
    if sum(wish is not None for wish in (sparsity, effective_sparsity, layer_counts)) != 1:
        raise ArgumentError("pass one of sparsity=, effective_sparsity= and layer_counts=, not none and not several")
    for name, value in (("sparsity", sparsity), ("effective_sparsity", effective_sparsity)):
        if value is None:
            continue
        if not is_number(value):
            raise ArgumentError(f"{name} is {value!r}; pass a number in [0, 1), the fraction removed")
        if not 0 <= value < 1:
            hint = f"; for {value} % pass {value / 100}" if 1 < value < 100 else ""
            raise ArgumentError(f"{name} is {value}; it is the fraction removed, in [0, 1){hint}")


def listed(patterns: Patterns) -> list[str] | None:
    """Patterns as a list.

    Raises:
        ArgumentError: Something else than text.
    """
    if patterns is None or isinstance(patterns, str):
        return None if patterns is None else [patterns]
    if not isinstance(patterns, Iterable) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ArgumentError(f"include or exclude is {patterns!r}; pass a pattern of parameter names, or a list of them")
    return list(patterns)


def included_layers(network: Network, include: list[str] | None, exclude: list[str] | None) -> tuple[str, ...]:
    """The layers that may be pruned, in the order of use.

    Raises:
        ArgumentError: A pattern matches nothing, or no layer is left.
    """
    for what, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns or []:
            if not any(fnmatch(name, pattern) for name in network.layers):
                raise ArgumentError(f"{what} pattern '{pattern}' matches no layer; {nearest(pattern, network.layers)}")

    def matches(name: str, patterns: list[str]) -> bool:
        return any(fnmatch(name, pattern) for pattern in patterns)

    chosen = tuple(
        name
        for name in network.layers
        if (include is None or matches(name, include)) and not matches(name, exclude or [])
    )
    if not chosen:
        raise ArgumentError(f"include={include} and exclude={exclude} leave no layer to prune")
    return chosen


def kept_count(
    network: Network,
    included: tuple[str, ...],
    size: int,
    sparsity: float | None,
    layer_counts: Mapping[str, int] | None,
) -> int:
    """How many weights are kept.

    Raises:
        BudgetError: None, or counts that do not fit the layers.
    """
    if layer_counts is not None:
        if set(layer_counts) != set(included):
            odd = sorted(set(layer_counts) ^ set(included))[0]
            raise BudgetError(f"layer_counts must name each included layer and no other; '{odd}' differs")
        for name, count in layer_counts.items():
            if not isinstance(count, Integral) or not 0 <= count <= network.layers[name].size:
                raise BudgetError(
                    f"layer_counts['{name}'] is {count}; the layer holds 0 .. {network.layers[name].size}"
                )
        return sum(map(int, layer_counts.values()))
    assert sparsity is not None  # checked before
    keep = round((1 - float(sparsity)) * size)
    if keep == 0:
        raise BudgetError(
            f"sparsity {sparsity} keeps 0 of {size} weights; the highest that keeps one is {1 - 1 / size:.9g}"
        )
    return keep


def check_scores(network: Network, included: tuple[str, ...], scores: Mapping[str, Tensor]) -> None:
    """The user's scores fit the model.

    Raises:
        MaskMismatchError: A name or shape does not fit, or something is no tensor of real numbers.
    """
    for name in included:
        if name not in scores:
            raise MaskMismatchError(f"scores lack '{name}'; give one tensor per prunable weight, or exclude it")
        if not isinstance(scores[name], Tensor) or scores[name].is_complex():
            raise MaskMismatchError(f"scores['{name}'] is no tensor of real numbers; give one of the weight's shape")
        if tuple(scores[name].shape) != network.layers[name].shape:
            raise MaskMismatchError(
                f"scores['{name}'] has shape {tuple(scores[name].shape)}, the weight {network.layers[name].shape}"
            )
    for name in scores:
        if name not in network.layers:
            raise MaskMismatchError(
                f"scores['{name}'] is no prunable weight of this model; {nearest(name, network.layers)}"
            )


def check_seed(seed: int) -> int:
    """The seed as Python's own kind of number.

    Raises:
        ArgumentError: The seed is no whole number in [0, 2**63).
    """
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise ArgumentError(f"seed is {seed!r}; pass a whole number from 0 to 2**63 - 1")
    return int(seed)


def seeded(seed: int) -> torch.Generator:
    """A generator on the CPU.

    Raises:
        ArgumentError: The seed is no whole number in [0, 2**63).
    """
    return torch.Generator().manual_seed(check_seed(seed))
