import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor

from nodepath.methods.npb_layer import LayerProblem, objective, solve


@st.composite
def problems(draw) -> LayerProblem:
    inputs, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    value = st.one_of(st.just(0.0), st.integers(1, 3).map(float), st.floats(0.01, 1e4))
    paths = torch.tensor(draw(st.lists(value, min_size=inputs, max_size=inputs)), dtype=torch.float64)
    caps = torch.tensor(draw(st.lists(st.integers(1, 9), min_size=inputs, max_size=inputs)))
    room = int((outputs * caps)[paths > 0].sum())
    keep = draw(st.integers(min(1, room), room) | st.integers(min(1, room), min(outputs, room)))
    return LayerProblem(
        paths=paths,
        outputs=outputs,
        caps=caps,
        keep=keep,
        alpha=draw(st.sampled_from([0.0, 0.01, 0.5, 0.99, 1.0])),
        beta=draw(st.sampled_from([0.0, 0.001, 1.0, 2.0])),
    )


def by_milp(problem: LayerProblem) -> Tensor:
    """The optimum of HiGHS: weights kept in each kernel (inputs, outputs).

    Variables: m_ij, whether kernel ij is open, input i has a weight, output j has one.
    """
    live = problem.live.nonzero().flatten().tolist()
    rows, columns = len(live), problem.outputs
    size = rows * columns
    variables = 2 * size + rows + columns
    node = problem.alpha / (rows + columns)
    gain = [(1 - problem.alpha) * float(problem.paths[i]) / problem.most_paths for i in live]
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
    for c in range(columns):
        at_most(2 * size + rows + c, [r * columns + c for r in range(rows)])
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
    counts = torch.zeros(len(problem.paths), columns, dtype=torch.int64)
    counts[live] = torch.from_numpy(found.x[:size].round().reshape(rows, columns).astype(np.int64))
    return counts


def laid_out(problem: LayerProblem) -> Tensor:
    """`solve`'s answer as a matrix, as its docstring says: kernels to successive outputs, cyclically."""
    kernels, kept = solve(problem)
    counts = torch.zeros(len(problem.paths), problem.outputs, dtype=torch.int64)
    column = 0
    for i, (opened, weights) in enumerate(zip(kernels.tolist(), kept.tolist(), strict=True)):
        for _ in range(opened):
            counts[i, column % problem.outputs] += 1
            column += 1
        extra = weights - opened
        for j in range(problem.outputs):
            if counts[i, j]:
                more = min(extra, int(problem.caps[i]) - 1)
                counts[i, j] += more
                extra -= more
        assert extra == 0
    return counts


def layer(paths: list[float], outputs: int, caps: list[int], keep: int, alpha: float, beta: float) -> LayerProblem:
    return LayerProblem(torch.tensor(paths, dtype=torch.float64), outputs, torch.tensor(caps), keep, alpha, beta)


@settings(deadline=None, max_examples=200)
@given(problem=problems())
@example(problem=layer([0.0, 1.0, 2.0], 1, [1, 1, 2], 2, 0.5, 0.0))  # a poor input for its node's sake
@example(problem=layer([5.0, 1.0, 1.0], 3, [9, 4, 2], 12, 0.01, 1.0))  # open kernels beside rich cells
@example(problem=layer([3.0, 3.0, 0.0, 1.0], 5, [1, 2, 3, 4], 3, 1.0, 0.0))  # fewer weights than outputs, no paths
@example(problem=layer([4.0, 2.0, 0.01], 2, [9, 9, 9], 20, 0.0, 0.0))  # paths alone
def test_greedy_is_as_good_as_integer_programming(problem):
    counts = laid_out(problem)
    assert int(counts.sum()) <= problem.keep
    assert bool((counts <= problem.caps.unsqueeze(1)).all())
    assert not counts[~problem.live].any()
    if problem.live.any():
        assert objective(problem, counts) == pytest.approx(objective(problem, by_milp(problem)), abs=1e-9)
        assert int(counts.sum()) == problem.keep
    else:
        assert int(counts.sum()) == 0


@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_solution_opens_no_kernel_twice_and_puts_a_weight_in_each(problem):
    kernels, kept = solve(problem)
    assert bool((kernels >= 0).all())
    assert bool((kernels <= problem.outputs).all())
    assert bool((kept >= kernels).all())
    assert bool((kept <= kernels * problem.caps).all())


@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_most_paths_fill_the_richest_inputs(problem):
    each = [float(p) for p, c in zip(problem.paths, problem.caps, strict=True) for _ in range(problem.outputs * int(c))]
    most = sum(sorted(each, reverse=True)[: problem.keep])
    assert problem.most_paths == pytest.approx(most or torch.finfo(torch.float64).tiny, rel=1e-12)


def test_objective_is_that_of_the_paper():
    """By hand: inputs with 4, 0 and 2 paths, 2 outputs, 3 weights."""
    problem = LayerProblem(
        torch.tensor([4.0, 0.0, 2.0], dtype=torch.float64), 2, torch.tensor([1, 1, 1]), keep=3, alpha=0.25, beta=2.0
    )
    counts = torch.tensor([[1, 0], [0, 0], [1, 0]])
    A = 3 / 4  # both live inputs, one of two outputs
    B = (4 + 2) / (4 + 4 + 2)
    R = (3 - 2) / 3  # two of the four live kernels are empty
    assert objective(problem, counts) == pytest.approx(0.25 * A + 0.75 * B + 2 * R, abs=1e-12)


def test_layer_of_full_size_takes_milliseconds_and_keeps_its_budget():
    generator = torch.Generator().manual_seed(0)
    paths = torch.rand(512, generator=generator, dtype=torch.float64) * 1e30
    problem = LayerProblem(paths, 512, torch.full((512,), 9), keep=123_457, alpha=0.5, beta=1.0)
    kernels, kept = solve(problem)
    assert int(kept.sum()) == 123_457
    assert math.isfinite(problem.most_paths)
    assert bool((kernels <= 512).all())
