"""`effective_sparsity`: the budget counted on weights that lie on a path."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nodepath
from nodepath.errors import ArgumentError
from nodepath.methods.effective_budget import nearest_effective_count

X = torch.zeros(1, 1, 32, 32)


@given(st.integers(1, 200), st.integers(1, 6), st.data())
def test_the_nearest_count_of_any_rising_staircase_is_found(size, step, data):
    target = data.draw(st.integers(1, size))

    def staircase(keep: int) -> int:
        return keep - keep % step

    found = nearest_effective_count(staircase, target, size)
    assert abs(staircase(found) - target) == min(abs(staircase(keep) - target) for keep in range(target, size + 1))


@pytest.mark.parametrize("method", ["random", "magnitude", "synflow"])
@pytest.mark.filterwarnings("ignore::nodepath.errors.CollapseWarning")
def test_prune_reaches_the_effective_sparsity_asked_for(method):
    model = nodepath.models.create("lenet5", seed=0)
    options = {"iterations": 5} if method == "synflow" else {}
    masks = nodepath.prune(model, X, method, effective_sparsity=0.95, on_collapse="warn", **options)
    topology = nodepath.measure(model, X, masks)
    assert topology.effective_sparsity == pytest.approx(0.95, abs=0.002)
    assert masks.metadata["effective_sparsity"] == {
        "asked": 0.95,
        "reached": pytest.approx(topology.effective_sparsity),
    }
    assert masks.kept == masks.metadata["kept"] >= topology.effective


def test_a_sparsity_beside_an_effective_one_is_refused():
    model = nodepath.models.create("lenet5", seed=0)
    with pytest.raises(ArgumentError, match="one of sparsity="):
        nodepath.prune(model, X, "erk", sparsity=0.9, effective_sparsity=0.9)
    with pytest.raises(ArgumentError, match="effective_sparsity is 90"):
        nodepath.prune(model, X, "erk", effective_sparsity=90)
