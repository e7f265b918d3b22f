import pytest
import torch

from nodepath.methods.optimum.cells import Best, Drawn, by_paths, chosen_cells
from nodepath.methods.optimum.layout import Kernels

N = 20_000


def kernels(count: int) -> Kernels:
    """As many kernels of one input and one output, of equal counts."""
    zeros = torch.zeros(N, dtype=torch.int64)
    return Kernels(zeros, zeros, zeros + count)


def drawn(rates: list[float], count: int) -> torch.Tensor:
    """Which cells each of N kernels keeps (N, cells)."""
    cells = torch.tensor([rates], dtype=torch.float64)
    pick = Drawn(cells, torch.Generator().manual_seed(0))
    kernel, cell = chosen_cells(kernels(count), cells > 0, pick)
    kept = torch.zeros(N, len(rates), dtype=torch.int64)
    kept.index_put_((kernel, cell), torch.ones_like(cell), accumulate=True)
    return kept


def test_one_cell_is_drawn_in_proportion_to_its_rate():
    kept = drawn([1.0, 0.0, 5.0, 2.0], 1)
    assert bool((kept.sum(dim=1) == 1).all())
    assert kept.double().mean(dim=0).tolist() == pytest.approx([1 / 8, 0, 5 / 8, 2 / 8], abs=0.015)


def test_two_cells_are_drawn_without_replacement():
    """The second in proportion among those that are left: P(0 and 2) = 1/8 * 5/7 + 5/8 * 1/3, and so on."""
    kept = drawn([1.0, 0.0, 5.0, 2.0], 2)
    assert int(kept.max()) == 1
    assert bool((kept.sum(dim=1) == 2).all())
    pairs = [float((kept[:, a] * kept[:, b]).double().mean()) for a, b in ((0, 2), (0, 3), (2, 3))]
    expected = [1 / 8 * 5 / 7 + 5 / 8 * 1 / 3, 1 / 8 * 2 / 7 + 2 / 8 * 1 / 6, 5 / 8 * 2 / 3 + 2 / 8 * 5 / 6]
    assert pairs == pytest.approx(expected, abs=0.015)


def test_all_live_cells_need_no_draw():
    assert drawn([1.0, 0.0, 5.0, 2.0], 3)[0].tolist() == [1, 0, 1, 1]


def test_rates_are_the_sixteenth_power_of_the_paths_and_never_vanish():
    rates = by_paths(torch.tensor([[4.0, 2.0, 0.0, 1e-30], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64))
    assert rates[0, :3].tolist() == pytest.approx([1.0, 2.0**-16, 0.0])
    assert float(rates[0, 3]) > 0
    assert not rates[1].any()


@pytest.mark.parametrize("count", [1, 2])
def test_the_best_are_taken_among_those_that_carry_paths(count):
    """Of group 1, input 0, output 1: rows are numbered over groups."""
    scores = torch.zeros(2, 2, 3, 4)
    scores[1, 1, 0] = torch.tensor([-1.0, 9.0, 3.0, 3.0])
    live = torch.ones(6, 4, dtype=torch.bool)
    live[3, 1] = False
    one = Kernels(torch.tensor([3]), torch.tensor([1]), torch.tensor([count]))
    kernel, cell = chosen_cells(one, live, Best(scores, live))
    assert kernel.tolist() == [0] * count
    assert cell.tolist() == [2, 3][:count]  # of equal ones the earlier
