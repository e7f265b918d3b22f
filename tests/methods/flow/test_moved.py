"""Functions that only move numbers are known as such, and the only ones that are."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nodepath.paths.replay.between import free
from nodepath.paths.replay.ends import Ends
from nodepath.paths.replay.moved import moves_alone

CPU = torch.device("cpu")
MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "flattened": lambda x: x.flatten(1),
    "permuted": lambda x: x.permute(0, 2, 3, 1),
    "rolled": lambda x: x.roll((1, -1), (2, 3)),
    "shuffled": lambda x: x.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2),
    "windows": lambda x: F.unfold(x, 2, stride=2),
    "overlapping windows": lambda x: F.unfold(x, 3, padding=1),
    "padded": lambda x: F.pad(x, (1, 2, 0, 1)),
    "repeated": lambda x: x.repeat(1, 2, 1, 1),
    "a part": lambda x: x[:, 1:3],
    "larger": lambda x: F.interpolate(x, scale_factor=2.0),
    "pixels shuffled": lambda x: F.pixel_shuffle(x, 2),
    "nothing": lambda x: x,
}
OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "doubled": lambda x: 2 * x,
    "added": lambda x: x + x.roll(1, 2),
    "mean": lambda x: x.mean((2, 3)),
    "maximum": lambda x: F.max_pool2d(x, 2),
    "of all": lambda x: x.amax((1, 2, 3)),
    "minimum": lambda x: -F.max_pool2d(-x, 2),
    "median": lambda x: x[:, :, :3].median(2).values,
    "sorted": lambda x: x.sort(2).values,
    "smoothed": lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear"),
}


def ends(run: Callable[[Tensor], Tensor], adds: float, factor: float) -> Ends:
    draw = torch.Generator().manual_seed(0)

    def some(*shape: int) -> Tensor:
        return torch.rand(shape, generator=draw, dtype=torch.float64)

    read, made = some(1, 4, 4, 4), run(some(1, 4, 4, 4)).contiguous()
    pair = (read, some(1, 4, 4, 4))
    return Ends([pair], [pair], (torch.zeros_like(made), some(*made.shape)), [adds], [factor])


@pytest.mark.parametrize("kind", [*MOVES, *OTHERS])
@pytest.mark.parametrize("adds", [0.0, 1.0])
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_counts_and_slopes_are_those_of_autograd(kind, adds, factor):
    run = (MOVES | OTHERS)[kind]
    found = ends(run, adds, factor)
    ((read, slope),), (made, back) = found.reads, found.made
    leaf = read.clone().requires_grad_()
    expected = run(leaf * factor)
    (grad,) = torch.autograd.grad(expected, leaf, back)
    expected_slope = grad + adds * slope
    forward, backward = free(found, run)
    forward(), backward()
    torch.testing.assert_close(made, expected.detach(), rtol=1e-14, atol=0)
    torch.testing.assert_close(slope, expected_slope, rtol=1e-14, atol=0)


@pytest.mark.parametrize("kind", MOVES)
def test_what_moves_numbers_is_known(kind):
    assert moves_alone(MOVES[kind], torch.Size((1, 4, 4, 4)), CPU) is not None


@pytest.mark.parametrize("kind", OTHERS)
def test_what_does_more_is_not(kind):
    assert moves_alone(OTHERS[kind], torch.Size((1, 4, 4, 4)), CPU) is None


def test_zeros_have_no_place():
    index = moves_alone(MOVES["padded"], torch.Size((1, 1, 2, 2)), CPU)
    assert index is not None
    assert index.view(3, 5).tolist() == [[-1, 0, 1, -1, -1], [-1, 2, 3, -1, -1], [-1] * 5]
