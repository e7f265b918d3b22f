import itertools

import pytest
import torch

from nodepath.methods.even import cells as kernel_cells
from nodepath.methods.even.cells import drawn_cells


def successive(weights: list[float], size: int) -> dict[tuple[int, ...], float]:
    """The chance of each subset: over all orders in which its cells may be drawn."""
    chances: dict[tuple[int, ...], float] = {}
    for order in itertools.permutations(range(len(weights)), size):
        chance, left = 1.0, sum(weights)
        for cell in order:
            chance *= weights[cell] / left
            left -= weights[cell]
        key = tuple(sorted(order))
        chances[key] = chances.get(key, 0.0) + chance
    return chances


@pytest.mark.parametrize("tabled", [12, 1])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_subsets_come_as_often_as_successive_draws_would_bring_them(monkeypatch, tabled, size):
    monkeypatch.setattr(kernel_cells, "_TABLED", tabled)
    weights = [4.0, 2.0, 1.0, 1.0, 0.0]
    number = 40_000
    found = drawn_cells(torch.full((number,), size), torch.tensor(weights).double(), torch.Generator().manual_seed(0))
    assert bool((found.sum(1) == size).all())
    for cells, chance in successive(weights[:4], size).items():
        row = torch.zeros(5, dtype=torch.bool)
        row[list(cells)] = True
        share = float((found == row).all(1).double().mean())
        assert share == pytest.approx(chance, abs=0.011)  # four standard deviations


@pytest.mark.parametrize("cells", [9, 25])
def test_every_kernel_keeps_as_many_cells_as_it_shall(cells):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randint(0, cells + 1, (500,), generator=generator)
    found = drawn_cells(numbers, torch.rand(cells, generator=generator).double() + 0.1, generator)
    assert torch.equal(found.sum(1), numbers)
