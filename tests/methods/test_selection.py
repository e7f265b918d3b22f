import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nodepath.errors import NonFiniteError
from nodepath.methods.selection import check_finite, keep_best, keep_best_by_layer, top

few_values = st.sampled_from([-math.inf, -1.5, 0.0, -0.0, 0.25, 3.0])
vectors = st.lists(few_values | st.floats(-1e6, 1e6), min_size=1, max_size=40)


def by_sorting(scores: list[float], keep: int) -> set[int]:
    return set(sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:keep])


@settings(deadline=None, max_examples=200)
@given(scores=vectors, data=st.data())
def test_top_is_what_sorting_gives_with_ties_to_the_earlier_position(scores, data):
    keep = data.draw(st.integers(0, len(scores)))
    chosen = top(torch.tensor(scores, dtype=torch.float64), keep)
    assert set(chosen.nonzero().flatten().tolist()) == by_sorting(scores, keep)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_top_takes_any_ordered_dtype(dtype):
    assert top(torch.tensor([1, 3, 3, 0, 3], dtype=dtype), 2).tolist() == [False, True, True, False, False]


@settings(deadline=None, max_examples=50)
@given(layers=st.lists(vectors, min_size=1, max_size=4), data=st.data())
def test_keep_best_ranks_all_layers_at_once_and_gives_ties_to_the_earlier(layers, data):
    flat = [score for layer in layers for score in layer]
    keep = data.draw(st.integers(0, len(flat)))
    masks = keep_best({str(n): torch.tensor(s, dtype=torch.float64) for n, s in enumerate(layers)}, keep)
    assert set(torch.cat(list(masks.values())).nonzero().flatten().tolist()) == by_sorting(flat, keep)


@pytest.mark.parametrize("kind", ["normal", "few values", "sorted", "equal", "mostly pruned", "one layer above all"])
@pytest.mark.parametrize("share", [1e-5, 0.003, 0.4, 0.999])
def test_keep_best_of_many_scores_is_that_of_few(monkeypatch, kind, share):
    """A sample tells what is looked at; where it misleads, everything is."""
    generator = torch.Generator().manual_seed(0)
    layers = {name: torch.randn(size, generator=generator).double() for name, size in (("a", 30_000), ("b", 999))}
    if kind == "few values":
        layers = {name: values.round() for name, values in layers.items()}
    if kind == "sorted":
        layers = {name: values.sort().values for name, values in layers.items()}
    if kind == "equal":
        layers = {name: torch.full_like(values, -2.5) for name, values in layers.items()}
    if kind == "mostly pruned":
        layers = {name: values.masked_fill(values < 2, -math.inf) for name, values in layers.items()}
    if kind == "one layer above all":
        layers["b"] += 100
    keep = max(1, round(share * 30_999))
    expected = keep_best(layers, keep)
    monkeypatch.setattr("nodepath.methods.selection._LARGE", 1 << 10)
    monkeypatch.setattr("nodepath.methods.selection._SAMPLE", 1 << 9)
    found = keep_best(layers, keep)
    assert sum(int(mask.sum()) for mask in found.values()) == keep
    assert all(torch.equal(found[name], expected[name]) for name in layers)


def test_keep_best_by_layer_gives_each_layer_its_own_count():
    scores = {"a": torch.tensor([[1.0, 4.0], [3.0, 2.0]]), "b": torch.tensor([9.0, 8.0, 9.0])}
    masks = keep_best_by_layer(scores, {"a": 2, "b": 1})
    assert masks["a"].tolist() == [[False, True], [True, False]]
    assert masks["b"].tolist() == [True, False, False]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_check_finite_names_the_parameter_and_counts(value):
    with pytest.raises(NonFiniteError, match=r"scores of 'b.weight': 1 of 3"):
        check_finite({"a": torch.ones(2), "b.weight": torch.tensor([1.0, value, 2.0])}, "scores")
