"""`prune`: from a model to a mask set."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from nodepath.errors import ArgumentError, BudgetError, BudgetWarning, MaskMismatchError
from nodepath.masks import JSON, MaskSet, count_true
from nodepath.methods import ranks
from nodepath.methods.arguments import (
    Patterns,
    check_budget,
    check_scores,
    included_layers,
    kept_count,
    listed,
    method_from,
    seeded,
)
from nodepath.methods.collapse import settle_collapse
from nodepath.methods.effective_budget import nearest_effective_count
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import Method, options_of
from nodepath.methods.scored import fitting_scores
from nodepath.methods.selection import check_finite
from nodepath.paths import Network
from nodepath.paths.example import ExampleInput
from nodepath.paths.reach import reach
from nodepath.paths.surroundings import own_surroundings
from nodepath.scores import Batch, Loss, Subject, batch_norm_mode
from nodepath.scores.check_batch import check_batch
from nodepath.scores.precision import at_least_single, without_autocast

__all__ = ["prune"]


def prune(
    model: nn.Module,
    x: ExampleInput,
    method: str | Method | None = None,
    *,
    sparsity: float | None = None,
    effective_sparsity: float | None = None,
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
    resolution: str = "pixel",
    **options: Any,
) -> MaskSet:
    """Choose which weights to keep, before any training. The model is left as it was.

    Where a process group of `torch.distributed` has several ranks, all of them have to call this: the score batch is
    that of all ranks, in rank order (or one, if all hold the same), rank 0 chooses with its own model and arguments,
    and all get the same masks.

    Args:
        model: Any module.
        x: Example input: a tensor, a tuple, or a dict of keyword arguments; the first axis is the batch. Only shapes
            count.
        method: A name (`nodepath.methods.names()`) or a method object.
        sparsity: Fraction of the included prunable weights to remove, in [0, 1); exactly
            `round((1 - sparsity) * prunable)` are kept.
        effective_sparsity: Instead of `sparsity`: the sparsity counted on weights that lie on a path. The count is the
            one that comes nearest, found by bisection; `metadata` says what was reached.
        layer_counts: Instead of `sparsity`: parameter name -> number of weights to keep, for every included layer.
        scores: Instead of `method`: parameter name -> score of the weight's shape; the largest are kept.
        seed: Of all that the method draws. The global random state is not changed, and read by nothing but a `batch`
            that shuffles.
        batch: (inputs, targets) or an iterable of such pairs, for methods that need data; one pair is run at a time, so
            that a large batch in several fits in memory and gives the same mask but for near-ties. Both may be tuples,
            lists or mappings of tensors; targets None for a `loss` that needs none. Of a `DataLoader` with
            `shuffle=True` the order is the loader's, not that of `seed`: it reads its own generator, or the global one.
        loss: (outputs, targets) -> mean over the samples; default cross-entropy.
        bn: BatchNorm while scoring: "eval-identity", "frozen", "train-batch" or "warmed-up"; None: the method's
            default.
        scope: "global", "layerwise" or the name of a budget, for methods that rank; None: the method's default.
        include: Pattern or patterns (`fnmatch`) of parameter names to prune; None: all prunable.
        exclude: Pattern or patterns of those to leave dense; they are absent from the result.
        on_collapse: "error", "warn" or "keep-one", see `nodepath.methods.collapse`.
        resolution: How paths are counted, see `nodepath.measure`: "pixel" or "channel".
        options: Of the method, by their own names.

    Returns:
        Masks of the included layers, with method, options, seed, protocol and versions in `metadata`.

    Cost: the method's, and about three forward passes of path counts; with `effective_sparsity` as often as the number
    of weights can be halved.

    Raises:
        ArgumentError: An option that makes no sense, or data missing for a method that needs it.
        UnknownNameError: No such method.
        BudgetError: The budget keeps nothing, or more than there is.
        CollapseError: No path is left, or an emptied layer cuts paths (see `on_collapse`).
        NonFiniteError: A weight or a score is NaN or infinite; names the parameter.
        NothingPrunableError, InputMismatchError, UnknownOperationError, TransformedWeightError: The model or `x`.
    """
    chosen, label = method_from(method, scores, options)

    def read() -> Batch | None:
        if not getattr(chosen, "needs_batch", False):
            return None
        if batch is None:
            raise ArgumentError(
                f"method '{label}' needs data: pass batch=(inputs, targets) (on the command line --data)"
            )
        return Batch.of(batch, loss)

    def choose(read: Callable[[], Batch | None]) -> MaskSet:
        return _chosen(
            *(model, x, chosen, label, read),
            sparsity=sparsity,
            effective_sparsity=effective_sparsity,
            layer_counts=layer_counts,
            scores=scores,
            seed=seed,
            bn=bn,
            scope=scope,
            include=include,
            exclude=exclude,
            on_collapse=on_collapse,
            resolution=resolution,
        )

    with own_surroundings():
        if not ranks.are_several():
            return choose(read)
        data = ranks.gathered(read)
        return ranks.of_the_first(lambda: choose(lambda: data), model)


def _chosen(
    model: nn.Module,
    x: ExampleInput,
    chosen: Method,
    label: str,
    read: Callable[[], Batch | None],
    *,
    sparsity: float | None,
    effective_sparsity: float | None,
    layer_counts: Mapping[str, int] | None,
    scores: Mapping[str, Tensor] | None,
    seed: int,
    bn: str | None,
    scope: str | None,
    include: Patterns,
    exclude: Patterns,
    on_collapse: str,
    resolution: str,
) -> MaskSet:
    """See `prune`; `read` gives the score batch, if the method needs one."""
    check_budget(sparsity, effective_sparsity, layer_counts)
    network = Network(model, x, resolution)
    included = included_layers(network, listed(include), listed(exclude))
    size = sum(network.layers[name].size for name in included)
    weights = network.weights()
    check_finite(weights, "weights")
    if scores is not None:
        check_scores(network, included, scores)
        check_finite({name: scores[name].float() for name in included}, "scores", "give finite numbers")
    data = read()
    if data is not None:
        check_batch(network, data)
        weights = {name: at_least_single(weight) for name, weight in weights.items()}
    mode = batch_norm_mode(str(bn or getattr(chosen, "bn", "eval-identity")))

    def choose(keep: int) -> Choice:
        subject = Subject(network, seeded(seed), data, mode)
        problem = Problem(network, subject, weights, included, keep, scope, layer_counts)
        with without_autocast(network.device):
            return _checked(chosen(problem), problem, label)

    def living(keep: int) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BudgetWarning)  # a trial, not the answer
            live = reach(network, choose(keep).masks).weights
        return sum(count_true(live[name]) for name in included)

    if effective_sparsity is None:
        keep = kept_count(network, included, size, sparsity, layer_counts)
    else:
        keep = nearest_effective_count(living, kept_count(network, included, size, effective_sparsity, None), size)
    choice = choose(keep)
    where = f"at sparsity {sparsity if sparsity is not None else 1 - keep / size:.6g} (method '{label}')"

    def ranking() -> dict[str, Tensor]:  # made only where a layer is emptied
        asked = {name: weights[name] for name in included}
        if not choice.scores:
            return {name: weight.abs() for name, weight in asked.items()}
        return fitting_scores(f"method '{label}'", choice.scores, asked)

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
            "bn": mode if data else None,
            "samples": data.samples if data else None,
            "batch": data.hash if data else None,
            "loss": getattr(data.loss, "__qualname__", type(data.loss).__name__) if data else None,
            "dtype": str(next(iter(weights.values())).dtype).removeprefix("torch."),
            "scope": scope,
            "include": list(listed(include) or []),
            "exclude": list(listed(exclude) or []),
            "on_collapse": on_collapse,
            "resolution": resolution,
        },
        "collapse": collapse,
        "versions": {"nodepath": version("nodepath"), "torch": torch.__version__},
    }
    control = getattr(chosen, "control", None)
    if control is not None:
        metadata["control"] = control
    if effective_sparsity is not None:
        live = reach(network, masks).weights
        reached = 1 - sum(int(live[name].sum()) for name in included) / size
        metadata["effective_sparsity"] = {"asked": float(effective_sparsity), "reached": reached}
    return MaskSet(masks, metadata)


def _checked(choice: Choice, problem: Problem, label: str) -> Choice:
    """A method, also a third party's, must keep exactly what was asked."""
    if not isinstance(choice, Choice):
        raise ArgumentError(
            f"method '{label}' gave a {type(choice).__name__}; it must return a nodepath.methods.Choice"
        )
    if set(choice.masks) != set(problem.included):
        odd = sorted(set(choice.masks) ^ set(problem.included))[0]
        raise MaskMismatchError(
            f"method '{label}' gave masks for other layers than asked, '{odd}' differs; it must mask each included one"
        )
    for name, mask in choice.masks.items():
        shape = tuple(problem.weights[name].shape)
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or tuple(mask.shape) != shape:
            given = f"{mask.dtype} of shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
            raise MaskMismatchError(
                f"method '{label}' gave a mask for '{name}' that is {given}; it must be torch.bool of shape {shape}"
            )
    kept = sum(map(count_true, choice.masks.values()))
    if kept != problem.keep:
        raise BudgetError(
            f"method '{label}' keeps {kept} weights where {problem.keep} were asked; report it to its author"
        )
    if choice.scores is None or (isinstance(choice.scores, Mapping) and not isinstance(choice.scores, dict)):
        return choice  # a mapping of another kind makes scores when asked, which may take as much memory as the model
    asked = {name: problem.weights[name] for name in problem.included}
    return replace(choice, scores=fitting_scores(f"method '{label}'", choice.scores, asked))
