"""Recurrent layers, written out step by step in functions that the table knows.

Their weights are no layers' and stay as they are: each connects all that it touches. Gates are controls.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nodepath.paths.call import Call
from nodepath.paths.table import register

State = tuple[Tensor, ...]
"""The output of a step, and what else it hands on."""

Cell = Callable[[Tensor, Tensor | None, State | None], State]
"""Called with what a step reads, what it reads of its last output, and its last state; None at the first."""


def _lstm(read: Tensor, recalled: Tensor | None, state: State | None) -> State:
    """Hochreiter & Schmidhuber 1997: the input, forget and output gates steer, the candidate carries."""
    take, forget, candidate, show = (read if recalled is None else read + recalled).chunk(4, -1)
    memory = take.sigmoid() * candidate.tanh()
    if state is not None:
        memory = memory + forget.sigmoid() * state[1]
    return show.sigmoid() * memory.tanh(), memory


def _gru(read: Tensor, recalled: Tensor | None, state: State | None) -> State:
    """Cho et al., arXiv:1406.1078: the reset and update gates steer, the candidate carries."""
    if recalled is None or state is None:
        _, update, candidate = read.chunk(3, -1)
        return ((1 - update.sigmoid()) * candidate.tanh(),)
    (reset, update, new), (reset_too, update_too, old) = read.chunk(3, -1), recalled.chunk(3, -1)
    update = (update + update_too).sigmoid()
    candidate = (new + (reset + reset_too).sigmoid() * old).tanh()
    return ((1 - update) * candidate + update * state[0],)


def _elman(activation: Callable[[Tensor], Tensor]) -> Cell:
    def cell(read: Tensor, recalled: Tensor | None, _: State | None) -> State:
        return (activation(read if recalled is None else read + recalled),)

    return cell


@dataclass(frozen=True)
class _Weights:
    """Of one layer in one direction."""

    read: Tensor
    recall: Tensor
    biases: Sequence[Tensor]
    project: Tensor | None

    @classmethod
    def of(cls, parameters: Sequence[Tensor], *, biased: bool) -> "_Weights":
        first = 4 if biased else 2
        project = parameters[first] if len(parameters) > first else None
        return cls(parameters[0], parameters[1], parameters[2:first], project)


@register(torch.lstm)
def long_short_term_memory(call: Call, input: Tensor, hx: Any, params: Any, *options: Any) -> Any:
    """A cell per token, of which each reads the last: gates steer, candidates carry.

    Where tokens are folded, one step stands for all: the state that it reads belongs to the same channels.

    Raises:
        UnknownOperationError: The first state depends on the input, or the sequences are packed.
    """
    return _unrolled(call, _lstm, input, hx, params, *options)


@register(torch.gru, torch.rnn_tanh, torch.rnn_relu)
def recurrent(call: Call, input: Tensor, hx: Any, params: Any, *options: Any) -> Any:
    """As above."""
    cells = {"gru": _gru, "rnn_tanh": _elman(torch.tanh), "rnn_relu": _elman(torch.relu)}
    return _unrolled(call, cells[call.function.__name__], input, hx, params, *options)


def _unrolled(
    call: Call,
    cell: Cell,
    input: Tensor,
    hx: Any,
    params: Any,
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
) -> Any:
    del dropout, train
    if isinstance(params, Tensor) or not call.tracks(input):
        raise call.unknown("reads packed sequences; give it padded ones")
    if any(map(call.tracks, hx if isinstance(hx, tuple | list) else [hx])):
        raise call.unknown("begins with a state that depends on the input")
    signal, axis = call.signal(input), 1 if batch_first else 0
    tokens = signal.shape[axis]
    once = call.folded(signal)[axis]
    directions = 2 if bidirectional else 1
    each = len(params) // (num_layers * directions)
    weights = [_Weights.of(params[i : i + each], biased=has_biases) for i in range(0, len(params), each)]

    def written_out() -> tuple[Tensor, ...]:
        x = input.transpose(0, 1) if batch_first else input
        x = x[:1] if once else x
        last: list[State] = []
        for layer in range(num_layers):
            sides = []
            for backwards, own in enumerate(weights[layer * directions : (layer + 1) * directions]):
                states = _steps(cell, x, own, backwards=bool(backwards))
                last.append(states[0] if backwards else states[-1])
                sides.append(torch.stack([state[0] for state in states]))
            x = torch.cat(sides, -1) if len(sides) > 1 else sides[0]
        x = x.expand(tokens, *x.shape[1:]) if once else x
        ends = (torch.stack(parts) for parts in zip(*last, strict=True))
        return (x.transpose(0, 1) if batch_first else x, *ends)

    return call.written_out(written_out)


def _steps(cell: Cell, x: Tensor, weights: _Weights, *, backwards: bool) -> list[State]:
    """The state after each token, in the order of the tokens.

    Args:
        cell: What a step does.
        x: (tokens, samples, features).
        weights: Of this direction.
        backwards: Begin with the last token.
    """
    read = x @ weights.read.T
    read = read + weights.biases[0] if weights.biases else read
    states: list[State] = []
    for token in reversed(range(len(read))) if backwards else range(len(read)):
        before = states[-1] if states else None
        recalled = None if before is None else before[0] @ weights.recall.T
        if recalled is not None and weights.biases:
            recalled = recalled + weights.biases[1]
        output, *rest = cell(read[token], recalled, before)
        states.append((output if weights.project is None else output @ weights.project.T, *rest))
    return states[::-1] if backwards else states
