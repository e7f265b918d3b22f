"""What is dropped of several layers in one piece of memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nodepath.methods.flow import threshold
from nodepath.methods.flow.threshold import Lowest, Pieces

SIZES = st.lists(st.integers(1, 300), min_size=1, max_size=6)


def test_pieces_are_of_one_layer_each_and_spans_hold_many_of_them(monkeypatch):
    monkeypatch.setattr(threshold, "_PIECE", 10)
    pieces = Pieces.of({"a": 4, "b": 5, "c": 25, "d": 1, "e": 9, "f": 10})
    assert [(part.start, part.stop) for part in pieces.parts] == [
        *((0, 4), (4, 9), (9, 19), (19, 29), (29, 34), (34, 35), (35, 44), (44, 54)),
    ]
    assert pieces.layers.tolist() == [0, 1, 2, 2, 2, 3, 4, 5]
    assert [(span.start, span.stop) for span, _ in pieces.spans] == [
        (0, 9),
        (9, 19),
        (19, 29),
        (29, 35),
        (35, 44),
        (44, 54),
    ]
    assert [(inside.start, inside.stop) for _, inside in pieces.spans] == [
        (0, 2),
        (2, 3),
        (3, 4),
        (4, 6),
        (6, 7),
        (7, 8),
    ]
    assert pieces.by_layer(np.arange(8)) == {"a": 0, "b": 1, "c": 9, "d": 5, "e": 6, "f": 7}


@pytest.mark.parametrize("piece", [16, 1 << 16])
@pytest.mark.parametrize("sample", [(8, 64), (1 << 10, 1 << 14)])
def test_the_lowest_go_and_each_layer_knows_how_many_are_left(piece, sample):
    @settings(deadline=None, max_examples=150, derandomize=True)
    @given(
        sizes=SIZES, seed=st.integers(0, 99), kind=st.sampled_from(["spread", "tied", "sparse"]), share=st.floats(0, 1)
    )
    def run(sizes: list[int], seed: int, kind: str, share: float) -> None:
        draw = np.random.default_rng(seed)
        shares = np.exp(3 * draw.standard_normal(sum(sizes)))
        if kind == "tied":
            shares = np.ceil(shares)
        if kind == "sparse":
            shares *= draw.random(len(shares)) < 0.2
        pieces = Pieces.of({str(number): size for number, size in enumerate(sizes)})
        carry = int((shares > 0).sum())
        keep = round(share * carry)
        lowest = Lowest.of(shares, pieces, keep, 1e-15, lambda places, _: np.argsort(-places))  # the first stay
        held = torch.ones(len(shares), dtype=torch.float64)
        lowest.drop(held, torch.from_numpy(shares), None)
        expected = np.zeros(len(shares), dtype=bool)
        expected[np.argsort(-shares, kind="stable")[:keep]] = True
        assert (held.numpy() > 0).tolist() == expected.tolist()
        starts = np.cumsum([0, *sizes])
        left = [int(expected[starts[i] : starts[i + 1]].sum()) for i in range(len(sizes))]
        assert list(lowest.pieces.by_layer(lowest.left).values()) == left
        more = Lowest.of(shares, pieces, carry + 1, 1e-15, lambda places, _: np.argsort(-places))
        assert more.threshold == 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threshold, "_PIECE", piece)
        patch.setattr(threshold, "_SAMPLE", sample)
        run()
