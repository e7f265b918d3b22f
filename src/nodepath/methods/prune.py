"""`prune`: from a model to a mask set."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from importlib.metadata import version
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from nodepath.errors import ArgumentError, BudgetError, MaskMismatchError
from nodepath.masks import JSON, MaskSet
from nodepath.methods.collapse import settle_collapse
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import Method, create, name_of, options_of
from nodepath.methods.scored import Scored
from nodepath.methods.selection import check_finite
from nodepath.paths import Network
from nodepath.paths.example import ExampleInput
from nodepath.registry import nearest
from nodepath.scores import Batch, Loss, Subject, batch_norm_mode
from nodepath.scores.given import Given

__all__ = ["prune"]

Patterns = str | Sequence[str] | None


def prune(
    model: nn.Module,
    x: ExampleInput,
    method: str | Method | None = None,
    *,
    sparsity: float | None = None,
    layer_counts: Mapping[str, int] | None = None,
    scores: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    batch: Any = None,
    loss: Loss | None = None,
    bn: str | None = None,
    scope: str | None = None,
    include: Patterns = None,
    exclude: Patterns = None,
    on_collapse: str = "error",
    **options: Any,
) -> MaskSet:
    """Choose which weights to keep, before any training. The model is left as it was.

    Args:
        model: Any module.
        x: Example input: a tensor, a tuple, or a dict of keyword arguments; the first axis is the batch. Only shapes
            count.
        method: A name (`nodepath.methods.names()`) or a method object.
        sparsity: Fraction of the included prunable weights to remove, in [0, 1); exactly
            `round((1 - sparsity) * prunable)` are kept.
        layer_counts: Instead of `sparsity`: parameter name -> number of weights to keep, for every included layer.
        scores: Instead of `method`: parameter name -> score of the weight's shape; the largest are kept.
        seed: Of all that the method draws. The global random state is neither read nor changed.
        batch: (inputs, targets) or an iterable of such pairs, for methods that need data.
        loss: (outputs, targets) -> mean over the samples; default cross-entropy.
        bn: BatchNorm while scoring: "eval-identity", "frozen", "train-batch" or "warmed-up"; None: the method's
            default.
        scope: "global", "layerwise" or the name of a budget, for methods that rank; None: the method's default.
        include: Pattern or patterns (`fnmatch`) of parameter names to prune; None: all prunable.
        exclude: Pattern or patterns of those to leave dense; they are absent from the result.
        on_collapse: "error", "warn" or "keep-one", see `nodepath.methods.collapse`.
        options: Of the method, by their own names.

    Returns:
        Masks of the included layers, with method, options, seed, protocol and versions in `metadata`.

    Cost: the method's, and about three forward passes of path counts.

    Raises:
        ArgumentError: An option that makes no sense, or data missing for a method that needs it.
        UnknownNameError: No such method.
        BudgetError: The budget keeps nothing, or more than there is.
        CollapseError: No path is left, or an emptied layer cuts paths (see `on_collapse`).
        NonFiniteError: A weight or a score is NaN or infinite; names the parameter.
        NothingPrunableError, InputMismatchError, UnknownOperationError, TransformedWeightError: The model or `x`.
    """
    chosen, label = _method(method, scores, options)
    _check_sparsity(sparsity, layer_counts)
    network = Network(model, x)
    included = _included(network, _listed(include), _listed(exclude))
    size = sum(network.layers[name].size for name in included)
    keep = _keep(network, included, size, sparsity, layer_counts)
    weights = network.weights()
    check_finite(weights, "weights")
    if scores is not None:
        _check_scores(network, included, scores)
    needs = getattr(chosen, "needs_batch", False)
    if needs and batch is None:
        raise ArgumentError(f"method '{label}' needs data: pass batch=(inputs, targets) (on the command line --data)")
    mode = batch_norm_mode(str(bn or getattr(chosen, "bn", "eval-identity")))
    subject = Subject(network, _generator(seed), Batch.of(batch, loss) if needs else None, mode)
    problem = Problem(network, subject, weights, included, keep, scope, layer_counts)
    choice = _checked(chosen(problem), problem, label)
    ranking = choice.scores or {name: weights[name].abs() for name in included}
    where = f"at sparsity {sparsity if sparsity is not None else 1 - keep / size:.6g} (method '{label}')"
    masks, collapse = settle_collapse(network, choice.masks, ranking, on_collapse, where)
    metadata: dict[str, JSON] = {
        "method": label,
        "options": options_of(chosen),
        "sparsity": None if sparsity is None else float(sparsity),
        "kept": keep,
        "prunable": size,
        "seed": int(seed),
        "model": type(network.model).__name__,
        "protocol": {
            "bn": mode if needs else None,
            "samples": subject.batch.samples if subject.batch else None,
            "scope": scope,
            "include": list(_listed(include) or []),
            "exclude": list(_listed(exclude) or []),
            "on_collapse": on_collapse,
        },
        "collapse": {"emptied": list(collapse.emptied), "no_path": collapse.no_path},
        "versions": {"nodepath": version("nodepath"), "torch": torch.__version__},
    }
    return MaskSet(masks, metadata)


def _method(
    method: str | Method | None, scores: Mapping[str, Tensor] | None, options: Mapping[str, Any]
) -> tuple[Method, str]:
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


def _check_sparsity(sparsity: float | None, layer_counts: Mapping[str, int] | None) -> None:
    if (sparsity is None) == (layer_counts is None):
        raise ArgumentError("pass either sparsity= or layer_counts=, not both or none")
    if sparsity is not None and (not isinstance(sparsity, Real) or isinstance(sparsity, bool)):
        raise ArgumentError(f"sparsity is {sparsity!r}; pass a number in [0, 1), the fraction removed")
    if sparsity is not None and not 0 <= sparsity < 1:
        hint = f"; for {sparsity} % pass {sparsity / 100}" if 1 < sparsity < 100 else ""
        raise ArgumentError(f"sparsity is {sparsity}; it is the fraction removed, in [0, 1){hint}")


def _listed(patterns: Patterns) -> list[str] | None:
    return [patterns] if isinstance(patterns, str) else None if patterns is None else list(patterns)


def _included(network: Network, include: list[str] | None, exclude: list[str] | None) -> tuple[str, ...]:
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


def _keep(
    network: Network,
    included: tuple[str, ...],
    size: int,
    sparsity: float | None,
    layer_counts: Mapping[str, int] | None,
) -> int:
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


def _check_scores(network: Network, included: tuple[str, ...], scores: Mapping[str, Tensor]) -> None:
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


def _generator(seed: int) -> torch.Generator:
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise ArgumentError(f"seed is {seed!r}; pass a whole number from 0 to 2**63 - 1")
    return torch.Generator().manual_seed(int(seed))


def _checked(choice: Choice, problem: Problem, label: str) -> Choice:
    """A method, also a third party's, must keep exactly what was asked."""
    if set(choice.masks) != set(problem.included):
        raise MaskMismatchError(
            f"method '{label}' gave masks for other layers than asked; it must mask each included one"
        )
    kept = sum(int(mask.sum()) for mask in choice.masks.values())
    if kept != problem.keep:
        raise BudgetError(
            f"method '{label}' keeps {kept} weights where {problem.keep} were asked; report it to its author"
        )
    return choice
