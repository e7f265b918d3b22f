"""What happens between layers, against autograd."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from nodepath.paths.replay import between
from nodepath.paths.replay.dense_layers import DenseLayer
from nodepath.paths.replay.ends import Ends, Move
from nodepath.paths.replay.small_layers import is_small

PLACES, CHANNELS = 6, 3
DRAW = torch.Generator().manual_seed(0)
TABLE = torch.tensor([[0, 1], [2, 2], [5, 3], [4, 6]])  # the last of them is padding
WEIGHTS = torch.rand(TABLE.shape, generator=DRAW, dtype=torch.float64)
SOME = torch.tensor([3, 3, 0, 5])


def as_mean(read: Tensor) -> Tensor:
    padded = torch.cat([read, read.new_zeros(1, CHANNELS)])
    return (padded[TABLE] * WEIGHTS.unsqueeze(2)).sum(1)


KINDS: dict[str, tuple[Callable[[Ends], tuple[Move, Move]], Callable[..., Tensor], int]] = {
    "added": (lambda ends: between.added(ends, (None, None)), lambda one, two: one + two, 2),
    "added at some places": (
        lambda ends: between.added(ends, (SOME, SOME.flip(0))),
        lambda one, two: one[SOME] + two[SOME.flip(0)],
        2,
    ),
    "joined": (lambda ends: between.joined(ends, (None, SOME)), lambda one, two: torch.cat([one, two[SOME]], 1), 2),
    "averaged": (lambda ends: between.averaged(ends, TABLE.flatten(), WEIGHTS), as_mean, 1),
}


def ends(run: Callable[..., Tensor], rows: Sequence[int], adds: Sequence[float], factors: Sequence[float]) -> Ends:
    def some(*shape: int) -> Tensor:
        return torch.rand(shape, generator=DRAW, dtype=torch.float64)

    padded = [(torch.cat([some(n, CHANNELS), torch.zeros(1, CHANNELS)]), some(n + 1, CHANNELS)) for n in rows]
    reads = [(counts[:-1], slopes[:-1]) for counts, slopes in padded]
    made = run(*(counts for counts, _ in reads))
    return Ends(reads, padded, (torch.zeros_like(made), some(*made.shape)), list(adds), list(factors))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adds", [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
@pytest.mark.parametrize("factors", [(1.0, 1.0), (0.25, 1.0), (1.0, 0.5)])
@pytest.mark.parametrize("large", [False, True])
def test_counts_and_slopes_are_those_of_autograd(kind, adds, factors, large, monkeypatch):
    if large:
        monkeypatch.setattr(between, "_SMALL", 0)
        monkeypatch.setattr(between, "_MANY", 0)
    bind, run, number = KINDS[kind]
    if number == 1:
        factors = (1.0, 1.0)  # a mean reads one value, whose exponent it keeps
    rows = (len(SOME), PLACES) if kind == "joined" else (PLACES,) * number
    found = ends(run, rows, adds[:number], factors[:number])
    before = [slope.clone() for _, slope in found.reads]
    leaves = [counts.clone().requires_grad_() for counts, _ in found.reads]
    expected = run(*(leaf * factor for leaf, factor in zip(leaves, factors, strict=False)))
    grads = torch.autograd.grad(expected, leaves, found.made[1])
    forward, backward = bind(found)
    forward(), backward()
    torch.testing.assert_close(found.made[0], expected.detach(), rtol=1e-14, atol=0)
    for (_, slope), grad, add, old in zip(found.reads, grads, adds, before, strict=False):
        torch.testing.assert_close(slope, grad + add * old, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize(
    ("places", "outputs", "inputs", "small"),
    [(1, 95, 97, True), (1, 96, 96, False), (64, 64, 64, True), (64, 64, 65, False)],
)
def test_numpy_multiplies_only_where_it_starts_no_threads(places, outputs, inputs, small):
    counts, made = torch.zeros(places, inputs).double(), torch.zeros(places, outputs).double()
    layer = DenseLayer(
        torch.zeros(1, outputs, 1, inputs).double(), None, fresh=True, index=None, gathered=counts, arriving=counts
    )
    ends = Ends([(counts, counts)], [(counts, counts)], (made, made), [0.0], [1.0])
    assert is_small(ends, layer) is small
    single = DenseLayer(layer.matrix.float(), None, fresh=True, index=None, gathered=counts, arriving=counts)
    assert not is_small(ends, single)
