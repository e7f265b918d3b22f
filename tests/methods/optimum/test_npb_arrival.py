import pytest
import torch

from nodepath.methods.optimum.arrival import arrived
from nodepath.paths.geometry import Geometry
from nodepath.paths.site import Site

CONVOLUTIONS = [
    # kernel, input, stride, padding, dilation, groups
    ((3,), (9,), (1,), (1,), (1,), 1),
    ((5,), (11,), (2,), (0,), (2,), 2),
    ((3, 3), (2, 2), (1, 1), (1, 1), (1, 1), 1),
    ((3, 3), (7, 6), (2, 2), (1, 1), (1, 1), 4),
    ((1, 4), (5, 9), (1, 3), (0, 2), (1, 1), 2),
    ((2, 3), (6, 8), (2, 1), (0, 2), (3, 2), 1),
    ((3, 3, 3), (4, 5, 3), (1, 2, 1), (1, 0, 1), (1, 1, 1), 1),
]


def site(geometry: Geometry) -> Site:
    return Site("weight", torch.empty(geometry.shape), 0, geometry, 1, ())


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("kernel", "size", "stride", "padding", "dilation", "groups"), CONVOLUTIONS)
def test_a_cell_passes_on_what_torch_makes_of_it_alone(kernel, size, stride, padding, dilation, groups, transposed):
    """The derivative of the sum of one output in each cell."""
    extra = tuple(min(1, step - 1) for step in stride) if transposed else (0,) * len(kernel)
    counts = torch.randint(0, 4, (1, 4, *size), generator=torch.Generator().manual_seed(0)).double()
    shape = (4, 1, *kernel) if transposed else (groups, 4 // groups, *kernel)
    geometry = Geometry(
        shape,
        groups=groups,
        transposed=transposed,
        stride=stride,
        padding=padding,
        dilation=dilation,
        output_padding=extra,
    )
    weight = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    made = torch.convolution(counts, weight, None, stride, padding, dilation, transposed, extra, groups)
    (expected,) = torch.autograd.grad(made.sum(), weight)
    seen = arrived(site(geometry), counts, folds=False)
    torch.testing.assert_close(seen.cells, expected.detach().reshape(groups, 4 // groups, -1))
    torch.testing.assert_close(seen.paths, counts.sum(dim=tuple(range(2, counts.ndim))).reshape(groups, 4 // groups))


def test_paths_that_no_cell_reads_do_not_arrive():
    """A 1x1 convolution of stride 2 reads every other pixel."""
    counts = torch.zeros(1, 2, 2, 2, dtype=torch.float64)
    counts[0, 0, 1, 1] = 7
    counts[0, 1, 0, 0] = 3
    geometry = Geometry((1, 2, 1, 1), stride=(2, 2), padding=(0, 0), dilation=(1, 1), output_padding=(0, 0))
    assert arrived(site(geometry), counts, folds=False).paths.tolist() == [[0.0, 3.0]]


def test_cells_of_folded_axes_are_parallel_edges():
    counts = torch.tensor([2.0, 5.0], dtype=torch.float64).reshape(1, 2, 1, 1)
    geometry = Geometry((1, 2, 3, 3), stride=(1, 1), padding=(1, 1), dilation=(1, 1), output_padding=(0, 0))
    assert arrived(site(geometry), counts, folds=True).cells.tolist() == [[[2.0] * 9, [5.0] * 9]]
    assert arrived(site(geometry), counts, folds=False).room.tolist() == [[1, 1]]  # a map of one pixel


def test_linear_layers_count_the_paths_of_all_positions():
    counts = torch.tensor([[[1.0, 2.0], [3.0, 0.0]]], dtype=torch.float64)
    seen = arrived(site(Geometry((5, 2), linear=True)), counts, folds=False)
    assert seen.paths.tolist() == [[4.0, 2.0]]
    assert seen.cells.tolist() == [[[4.0], [2.0]]]


def test_the_order_of_a_sum_does_not_decide():
    """Numbers beyond 2**53 come out of a sum one way or the other, by the number of threads."""
    noisy = torch.tensor([[1e20, 1e20 * (1 + 2e-16)]], dtype=torch.float64).unsqueeze(0)
    paths = arrived(site(Geometry((5, 2), linear=True)), noisy, folds=False).paths
    assert noisy[0, 0, 0] != noisy[0, 0, 1]
    assert paths[0, 0] == paths[0, 1]
    assert float(paths[0, 0]) == pytest.approx(1e20, rel=1e-12)
