"""Products of matrices: with a constant, fixed edges; of two activations, a control and what it reads."""

import string
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nodepath.paths.call import Call
from nodepath.paths.signal import Role
from nodepath.paths.table import register


@register("matmul", "bmm", "mm", "mv")
def matrix_product(call: Call, input: Any, other: Any) -> Tensor:
    """Rows of the first with columns of the second; axes before the last two run side by side."""
    if getattr(call.function, "__name__", "") == "__rmatmul__":
        input, other = other, input
    names = iter(string.ascii_letters)
    rows, columns, inner = next(names), next(names), next(names)
    left = inner if input.ndim == 1 else rows + inner
    right = inner if other.ndim == 1 else inner + columns
    beside = [next(names) for _ in range(max(input.ndim, other.ndim) - 2)]
    batch = ["".join(beside[len(beside) - max(tensor.ndim - 2, 0) :]) for tensor in (input, other)]
    made = "".join(beside) + (rows if input.ndim > 1 else "") + (columns if other.ndim > 1 else "")
    return _contract(call, (input, other), (batch[0] + left, batch[1] + right), made)


@register(torch.einsum)
def einsum(call: Call, equation: str, *operands: Any) -> Tensor:
    """Sums of products over the labels that are gone.

    Raises:
        UnknownOperationError: More than two operands, or a label twice in one.
    """
    tensors = tuple(operands[0]) if len(operands) == 1 and not isinstance(operands[0], Tensor) else operands
    equation = equation.replace(" ", "")
    terms, arrow, made = equation.partition("->")
    labels = terms.split(",")
    if len(tensors) != len(labels) or len(tensors) > 2:
        raise call.unknown(f"multiplies {len(tensors)} tensors at once ('{equation}')")
    if not arrow:
        seen = "".join(labels).replace(".", "")
        made = ("..." if "." in terms else "") + "".join(sorted(c for c in set(seen) if seen.count(c) == 1))
    free = [c for c in string.ascii_letters if c not in equation]
    most = max(tensor.ndim - len(term.replace("...", "")) for tensor, term in zip(tensors, labels, strict=True))
    ellipsis = "".join(free[:most])
    spelt = []
    for tensor, term in zip(tensors, labels, strict=True):
        missing = tensor.ndim - len(term.replace("...", ""))
        spelt.append(term.replace("...", ellipsis[len(ellipsis) - missing :] if missing else ""))
        if len(set(spelt[-1])) != len(spelt[-1]):
            raise call.unknown(f"takes a diagonal ('{equation}')")
    made = made.replace("...", ellipsis)
    if len(tensors) == 1:
        signal = call.signal(tensors[0])
        sizes = dict(zip(spelt[0], signal.shape, strict=True))
        counts = torch.einsum(f"{spelt[0]}->{made}", signal.counts)
        return call.emit(*call.settle(counts, signal.exponent), shape=torch.Size(sizes[c] for c in made))
    return _contract(call, (tensors[0], tensors[1]), (spelt[0], spelt[1]), made)


def _contract(call: Call, tensors: tuple[Tensor, Tensor], labels: tuple[str, str], made: str) -> Tensor:
    """Sum of products over the labels that `made` lacks.

    The higher role reads the lower. Two of one role are attention scores, of which each may be read; what they steer
    says whether they matter.
    """
    sizes: dict[str, int] = {}
    for tensor, names in zip(tensors, labels, strict=True):
        for name, size in zip(names, tensor.shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    shape = torch.Size(sizes[name] for name in made)
    signals = [call.tracer.signal(tensor) for tensor in tensors]
    if None in signals:
        which = 0 if signals[0] is not None else 1
        value, fixed = signals[which], tensors[1 - which]
        assert value is not None
        pattern = _fixed_edges(
            call, fixed, value.counts, labels[1 - which], _folded(call.folded(value), labels[which]), made
        )
        return call.summed(value, _reading(pattern, which, labels, made), shape)
    left, right = signals
    assert left is not None
    assert right is not None
    if left.role == right.role:
        _pair_along_sum(call, (left.counts, right.counts), labels)
        ones = left.counts.new_ones(()).expand([1] * len(shape) if call.folds else shape)
        if not call.semantics.boolean:
            return call.attention(ones, shape)
        factors = [call.pattern(signal) for signal in (left, right)]
        present = torch.einsum(
            f"{labels[0]},{labels[1]}->{made}", *_even([f for f in factors if f is not None], labels)
        )
        return call.attention(ones.expand(present.shape), shape, present)
    value, steering, place = (left, right, 0) if left.role < right.role else (right, left, 1)
    factor = call.pattern(steering)
    pattern = factor if factor is not None else torch.ones_like(steering.counts)
    # what attention reads is a value, whatever it had passed before
    role = Role.VALUE if steering.role is Role.ATTENTION else value.role
    return call.summed(value, _reading(pattern, place, labels, made), shape, role=role, silent=value.silent)


def _pair_along_sum(call: Call, counts: tuple[Tensor, Tensor], labels: tuple[str, str]) -> None:
    """Queries and keys meet channel by channel, where all axes that are not common are folded."""
    common = [label for label in labels[0] if label in labels[1]]
    lined_up = []
    for values, names in zip(counts, labels, strict=True):
        alone = [axis for axis, name in enumerate(names) if name not in common]
        if any(values.shape[axis] > 1 for axis in alone):
            return
        lined_up.append(values.permute([names.index(name) for name in common] + alone).flatten())
    call.semantics.pair(*lined_up)


def _reading(pattern: Tensor, place: int, labels: tuple[str, str], made: str) -> Callable[[Tensor], Tensor]:
    """The product of counts, which are operand number `place`, with a pattern."""

    def read(counts: Tensor) -> Tensor:
        operands = [counts, pattern] if place == 0 else [pattern, counts]
        return torch.einsum(f"{labels[0]},{labels[1]}->{made}", *_even(operands, labels))

    return read


def _fixed_edges(call: Call, fixed: Tensor, counts: Tensor, labels: str, folded: set[str], made: str) -> Tensor:
    """1 where a constant connects, folded as counts are.

    A parameter of the model's own does everywhere; what is made from one (transposed, looked up, cut to a triangle)
    where it is not zero, unless it is still zero throughout.

    Raises:
        UnknownOperationError: It is the weight of a layer, which a mask would change.
        TransformedWeightError: It is computed from one.
    """
    origin = call.tracer.origin_of(fixed)
    if origin is not None and _is_of_layer(call.tracer.model, origin):
        call.tracer.check_untransformed(fixed)
        raise call.unknown(f"multiplies by the prunable parameter '{origin}' itself, where a layer would apply it")
    learned = origin is not None or isinstance(fixed, nn.Parameter)
    if isinstance(fixed, nn.Parameter) or (learned and not bool(fixed.any())):  # it will not stay zero
        pattern = counts.new_ones(()).expand(fixed.shape)
    else:
        pattern = (fixed.detach() != 0).to(counts)
    if call.folds:
        inner = [label for label in labels if label not in made]
        all_folded = all(label in folded for label in inner)
        axes = [i for i, label in enumerate(labels) if label in folded or (all_folded and label in made)]
        pattern = pattern.amax(axes, keepdim=True) if axes else pattern
    return pattern


def _is_of_layer(model: nn.Module, parameter: str) -> bool:
    """Whether a parameter belongs to a module whose weights are prunable wherever they are used."""
    path = parameter.split(".")[:-1]
    owners = (model.get_submodule(".".join(path[:depth])) for depth in range(len(path) + 1))
    return any(isinstance(owner, nn.Linear | nn.modules.conv._ConvNd | nn.MultiheadAttention) for owner in owners)


def _folded(folded: tuple[bool, ...], labels: str) -> set[str]:
    return {label for label, fold in zip(labels, folded, strict=True) if fold}


def _even(counts: list[Tensor], labels: tuple[str, str]) -> list[Tensor]:
    """Operands whose common labels have one length: those folded in one alone are unfolded."""
    sizes: dict[str, int] = {}
    for tensor, names in zip(counts, labels, strict=True):
        for name, size in zip(names, tensor.shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    return [tensor.expand([sizes[name] for name in names]) for tensor, names in zip(counts, labels, strict=True)]
