import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nodepath.methods.even.pairs import even_pairs
from nodepath.methods.even.shared_out import shared_out


@st.composite
def tasks(draw):
    inputs, outputs = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    needs = [torch.tensor(draw(st.lists(st.booleans(), min_size=n, max_size=n))) for n in (inputs, outputs)]
    return *needs, draw(st.integers(0, inputs * outputs)), draw(st.integers(0, 99))


@settings(max_examples=300, deadline=None)
@given(tasks())
def test_degrees_differ_by_one_at_most_on_both_sides(task):
    needed_inputs, needed_outputs, number, seed = task
    pairs = even_pairs(needed_inputs, needed_outputs, number, torch.Generator().manual_seed(seed))
    assert int(pairs.sum()) == number
    for degrees in (pairs.sum(0), pairs.sum(1)):
        assert int(degrees.max() - degrees.min()) <= 1


@settings(max_examples=300, deadline=None)
@given(tasks())
def test_what_is_needed_comes_first(task):
    needed_inputs, needed_outputs, number, seed = task
    pairs = even_pairs(needed_inputs, needed_outputs, number, torch.Generator().manual_seed(seed))
    for needed, degrees in ((needed_inputs, pairs.sum(0)), (needed_outputs, pairs.sum(1))):
        if int(needed.sum()) <= number:
            assert bool((degrees[needed] > 0).all())


def test_all_pairs_are_equally_likely():
    generator = torch.Generator().manual_seed(0)
    nothing = torch.zeros(6, dtype=torch.bool)
    counts = sum(even_pairs(nothing, nothing[:4], 10, generator).double() for _ in range(3000)) / 3000
    assert (counts - 10 / 24).abs().max() < 0.04  # four standard deviations


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_shared_out_is_the_bounded_amount_at_one_factor(data):
    size = data.draw(st.integers(1, 8))
    values = st.floats(0.0, 100.0)
    weights = np.array(data.draw(st.lists(values | st.just(0.0), min_size=size, max_size=size)))
    weights = np.where(weights < 1e-3, 0.0, weights)
    lows = np.array(data.draw(st.lists(values, min_size=size, max_size=size)))
    highs = lows + np.array(data.draw(st.lists(values, min_size=size, max_size=size)))
    total = data.draw(st.floats(0.0, 900.0))
    amounts = shared_out(weights, lows, highs, total)
    most = float(np.where(weights > 0, highs, lows).sum())
    assert amounts.sum() == pytest.approx(min(max(total, 0.0), most), rel=1e-6, abs=1e-6)
    if lows.sum() < total < most:
        free = (amounts > lows + 1e-6) & (amounts < highs - 1e-6) & (weights > 0)
        assert (amounts >= lows - 1e-9).all()
        assert (amounts <= highs + 1e-9).all()
        if free.any():
            factor = float((amounts[free] / weights[free])[0])
            expected = np.where(weights > 0, np.clip(factor * weights, lows, highs), lows)
            assert amounts == pytest.approx(expected, rel=1e-6, abs=1e-5)
