import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_npb_layer import laid_out, problems

from nodepath.methods.optimum.layer import LayerProblem, solve
from nodepath.methods.optimum.layout import lay_out


def equal_inputs(inputs: int, outputs: int, keep: int, alpha: float = 0.5, groups: int = 1) -> LayerProblem:
    paths = torch.ones(groups, inputs, dtype=torch.float64)
    return LayerProblem(paths, outputs, torch.full((groups, inputs), 9), keep, alpha, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_the_core_shares_evenly_and_every_other_output_gets_one(seed):
    counts = laid_out(equal_inputs(10, 12, 88), core=4, seed=seed)[0]
    columns = counts.sum(dim=0).sort().values.tolist()
    assert columns == [1] * 8 + [20] * 4
    assert counts.sum(dim=1).max() - counts.sum(dim=1).min() <= 1


def test_the_core_are_the_outputs_of_lowest_rank():
    """So that layers that are added together can share theirs."""
    problem = equal_inputs(10, 12, 88)
    ranks = torch.randperm(12, generator=torch.Generator().manual_seed(5)).unsqueeze(0)
    kernels = lay_out(problem, solve(problem), ranks, 4, torch.Generator().manual_seed(6))
    degrees = torch.zeros(12, dtype=torch.int64).index_add_(0, kernels.columns, kernels.counts)
    assert torch.equal(degrees > 1, ranks[0] < 4)


def test_a_core_of_all_outputs_gives_even_rows_and_columns():
    counts = laid_out(equal_inputs(10, 12, 47), core=12)[0]
    assert int(counts.max()) == 1
    for degrees in (counts.sum(dim=0), counts.sum(dim=1)):
        assert int(degrees.max() - degrees.min()) <= 1


def test_the_core_grows_where_it_could_not_hold_its_weights():
    """Two inputs of 9 cells a kernel, 60 weights: two outputs hold 36."""
    counts = laid_out(equal_inputs(2, 12, 60), core=2)[0]
    assert sorted(counts.sum(dim=0).tolist()) == [1] * 8 + [13] * 4


def test_without_weight_on_nodes_the_core_takes_all():
    counts = laid_out(equal_inputs(10, 12, 88, alpha=0.0), core=4)[0]
    assert int((counts.sum(dim=0) > 0).sum()) == 4


def test_groups_have_cores_of_their_own():
    counts = laid_out(equal_inputs(4, 6, 60, groups=3), core=2)
    for degrees in (group.sum(dim=0).sort().values for group in counts):
        assert degrees[:4].tolist() == [1] * 4
        assert int(degrees[5] - degrees[4]) <= 2


@settings(deadline=None, max_examples=100)
@given(problem=problems(), core=st.integers(1, 5), seed=st.integers(0, 3))
def test_each_input_keeps_what_the_solution_says_under_its_caps(problem, core, seed):
    counts = laid_out(problem, core, seed)
    assert torch.equal(counts.sum(dim=2), solve(problem))
    assert bool((counts <= problem.caps.unsqueeze(2)).all())


@settings(deadline=None, max_examples=100)
@given(problem=problems(), core=st.integers(1, 5))
def test_as_many_outputs_as_possible_are_reached_where_nodes_count(problem, core):
    if problem.alpha > 0:
        kept = solve(problem)
        most = kept.clamp(max=problem.outputs).sum(dim=1).clamp(max=problem.outputs)
        assert torch.equal(laid_out(problem, core).any(dim=1).sum(dim=1), most)
