import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor

from nodepath.methods.optimum.layer import LayerProblem, evenly, objective, solve
from nodepath.methods.optimum.layout import lay_out


@st.composite
def problems(draw, slack: float = 0.0) -> LayerProblem:
    """Linears (caps 1), convolutions, grouped and depthwise ones, kernels of 1xN, dead inputs, small budgets."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    inputs, outputs = draw(st.integers(1, 5 if groups == 1 else 3)), draw(st.integers(1, 5 if groups == 1 else 3))
    value = st.one_of(st.just(0.0), st.integers(1, 3).map(float), st.floats(0.01, 1e4))
    number = groups * inputs
    paths = torch.tensor(draw(st.lists(value, min_size=number, max_size=number)), dtype=torch.float64)
    most = draw(st.sampled_from([1, 3, 9]))
    caps = torch.tensor(draw(st.lists(st.integers(1, most), min_size=number, max_size=number)))
    room = int((outputs * caps)[paths > 0].sum())
    keep = draw(st.integers(min(1, room), room) | st.integers(min(1, room), min(outputs, room)))
    return LayerProblem(
        paths=paths.reshape(groups, inputs),
        outputs=outputs,
        caps=caps.reshape(groups, inputs),
        keep=keep,
        alpha=draw(st.sampled_from([0.0, 0.01, 0.5, 0.99, 1.0])),
        beta=draw(st.sampled_from([0.0, 0.001, 1.0, 2.0])),
        slack=slack,
    )


def by_milp(problem: LayerProblem) -> Tensor:
    """The optimum of HiGHS: weights kept in each kernel (groups, inputs, outputs).

    Variables: m_ij, whether kernel ij is open, input i has a weight, output j has one.
    """
    groups, inputs = problem.paths.shape
    live = [(g, i) for g, i in itertools.product(range(groups), range(inputs)) if problem.live[g, i]]
    rows, columns = len(live), problem.outputs
    size, ends = rows * columns, groups * columns
    variables = 2 * size + rows + ends
    node = problem.alpha / (rows + ends)
    gain = [(1 - problem.alpha) * float(problem.paths[g, i]) / problem.most_paths for g, i in live]
    cost = np.zeros(variables)
    upper = np.ones(variables)
    for r, c in itertools.product(range(rows), range(columns)):
        cost[r * columns + c] = -gain[r]
        cost[size + r * columns + c] = -problem.beta / problem.keep
        upper[r * columns + c] = float(problem.caps[live[r]])
    cost[2 * size :] = -node
    below = []  # rows that must be <= 0

    def at_most(indicator: int, terms: list[int]) -> None:
        row = np.zeros(variables)
        row[indicator] = 1
        row[terms] = -1
        below.append(row)

    for place in range(size):
        at_most(size + place, [place])
    for r in range(rows):
        at_most(2 * size + r, [r * columns + c for c in range(columns)])
    for g, c in itertools.product(range(groups), range(columns)):
        at_most(2 * size + rows + g * columns + c, [r * columns + c for r in range(rows) if live[r][0] == g])
    budget = np.zeros((1, variables))
    budget[0, :size] = 1
    found = milp(
        1e5 * cost,  # HiGHS takes costs that differ by less than 1e-7 for equal
        integrality=np.ones(variables),
        bounds=Bounds(0, upper),
        constraints=[LinearConstraint(np.array(below), ub=0), LinearConstraint(budget, ub=problem.keep)],
        options={"mip_rel_gap": 0},
    )
    assert found.success
    counts = torch.zeros(groups, inputs, columns, dtype=torch.int64)
    for r, (g, i) in enumerate(live):
        counts[g, i] = torch.from_numpy(found.x[r * columns : (r + 1) * columns].round().astype(np.int64))
    return counts


def laid_out(problem: LayerProblem, core: int = 1, seed: int = 0) -> Tensor:
    """`solve`'s answer in kernels (groups, inputs, outputs)."""
    groups, inputs = problem.paths.shape
    generator = torch.Generator().manual_seed(seed)
    ranks = torch.stack([torch.randperm(problem.outputs, generator=generator) for _ in range(groups)])
    kernels = lay_out(problem, solve(problem), ranks, core, generator)
    counts = torch.zeros(groups * inputs, problem.outputs, dtype=torch.int64)
    counts.index_put_((kernels.rows, kernels.columns), kernels.counts, accumulate=True)
    assert int((counts > 0).sum()) == len(kernels.rows)  # no kernel is opened twice
    return counts.reshape(groups, inputs, problem.outputs)


def layer(paths: list[list[float]], outputs: int, caps: list[list[int]], keep: int, alpha: float, beta: float):
    return LayerProblem(torch.tensor(paths, dtype=torch.float64), outputs, torch.tensor(caps), keep, alpha, beta)


CROWDED = replace(layer([[10.0, 10.0, 10.0, 10.0, 2.0]], 1, [[1, 1, 1, 9, 9]], 12, 0.0, 0.0), slack=0.2)
"""Three of the rich are full at one weight, so that even shares would give the poor one too many."""


@settings(deadline=None, max_examples=250)
@given(problem=problems(), core=st.integers(1, 5))
@example(layer([[0.0, 1.0, 2.0]], 1, [[1, 1, 2]], 2, 0.5, 0.0), 1)  # a poor input for its node's sake
@example(layer([[5.0, 1.0, 1.0]], 3, [[9, 4, 2]], 12, 0.01, 1.0), 2)  # open kernels beside rich cells
@example(layer([[3.0, 3.0, 0.0, 1.0]], 5, [[1, 2, 3, 4]], 3, 1.0, 0.0), 1)  # fewer weights than outputs, no paths
@example(layer([[4.0, 2.0, 0.01]], 2, [[9, 9, 9]], 20, 0.0, 0.0), 1)  # paths alone
@example(layer([[1.0]], 5, [[9]], 12, 0.5, 0.0), 2)  # one input must reach all outputs, though its cells are as good
@example(layer([[4.0], [1.0], [0.0]], 1, [[9], [9], [9]], 6, 0.9, 0.0), 1)  # depthwise: a node for a poor group
@example(layer([[4.0, 3.0], [1.0, 1.0]], 3, [[9, 9], [9, 9]], 7, 0.5, 0.0), 1)  # groups compete for outputs
def test_greedy_is_as_good_as_integer_programming(problem, core):
    counts = laid_out(problem, core)
    assert int(counts.sum()) <= problem.keep
    assert bool((counts <= problem.caps.unsqueeze(2)).all())
    assert not counts[~problem.live].any()
    if problem.live.any():
        assert objective(problem, counts) == pytest.approx(objective(problem, by_milp(problem)), abs=1e-9)
        assert int(counts.sum()) == problem.keep
    else:
        assert int(counts.sum()) == 0


@settings(deadline=None, max_examples=60)
@given(problem=st.sampled_from([0.05, 0.3, 1.0]).flatmap(problems), core=st.integers(1, 5))
@example(CROWDED, 1)
def test_slack_gives_up_no_more_than_its_share_of_the_paths(problem, core):
    if problem.live.any():
        counts = laid_out(problem, core)
        assert int(counts.sum()) == problem.keep
        lost = objective(problem, by_milp(problem)) - objective(problem, counts)
        assert lost <= (1 - problem.alpha) * problem.slack + 1e-9


@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_most_paths_fill_the_richest_inputs(problem):
    pairs = zip(problem.paths.flatten(), problem.caps.flatten(), strict=True)
    each = [float(p) for p, c in pairs for _ in range(problem.outputs * int(c))]
    most = sum(sorted(each, reverse=True)[: problem.keep])
    assert problem.most_paths == pytest.approx(most or torch.finfo(torch.float64).tiny, rel=1e-12)


def test_objective_is_that_of_the_paper():
    """By hand: inputs with 4, 0 and 2 paths, 2 outputs, 3 weights."""
    problem = layer([[4.0, 0.0, 2.0]], 2, [[1, 1, 1]], keep=3, alpha=0.25, beta=2.0)
    counts = torch.tensor([[[1, 0], [0, 0], [1, 0]]])
    A = 3 / 4  # both live inputs, one of two outputs
    B = (4 + 2) / (4 + 4 + 2)
    R = (3 - 2) / 3  # two of the four live kernels are empty
    assert objective(problem, counts) == pytest.approx(0.25 * A + 0.75 * B + 2 * R, abs=1e-12)


def test_equal_inputs_get_equally_much():
    kept = solve(layer([[2.0, 1.0, 2.0, 2.0]], 4, [[9, 9, 9, 9]], keep=17, alpha=0.5, beta=0.0))
    assert kept.tolist() == [[6, 1, 5, 5]]  # the poor one its node, the rich ones the rest


def test_nearly_equal_inputs_count_as_equal_as_far_as_slack_allows():
    """Means of the richest: 10, 9.5, 9, 7 of at most 10 a weight; a slack of .1 allows the first three."""
    paths, caps = torch.tensor([[9.0, 10.0, 1.0, 8.0]], dtype=torch.float64), torch.full((1, 4), 9)
    shares = [solve(LayerProblem(paths, 4, caps, 17, 0.5, 0.0, slack)).tolist() for slack in (0.0, 0.1)]
    assert shares == [[[1, 14, 1, 1]], [[5, 6, 1, 5]]]  # what is over goes to the richest


@settings(deadline=None)
@given(room=st.lists(st.integers(0, 20), min_size=1, max_size=8), data=st.data())
def test_even_shares_differ_by_one_unless_there_is_no_room(room, data):
    amount = data.draw(st.integers(0, sum(room)))
    shares = evenly(np.array(room), amount).tolist()
    assert sum(shares) == amount
    assert all(0 <= share <= most for share, most in zip(shares, room, strict=True))
    free = [share for share, most in zip(shares, room, strict=True) if share < most]
    assert not free or max(shares) - min(free) <= 1


def test_layer_of_full_size_takes_milliseconds_and_keeps_its_budget():
    generator = torch.Generator().manual_seed(0)
    paths = torch.rand(1, 512, generator=generator, dtype=torch.float64) * 1e30
    problem = LayerProblem(paths, 512, torch.full((1, 512), 9), keep=123_457, alpha=0.5, beta=1.0)
    assert int(solve(problem).sum()) == 123_457
    assert math.isfinite(problem.most_paths)
