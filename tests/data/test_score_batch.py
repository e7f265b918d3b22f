"""The score batch is balanced, seeded and honest about classes that are too small."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nodepath.data import Split, load, score_batch
from nodepath.errors import ArgumentError, DataError


def split_of(labels):
    count = len(labels)
    numbered = torch.arange(count, dtype=torch.uint8).view(count, 1, 1, 1).expand(count, 1, 2, 2).contiguous()
    return Split(numbered, torch.tensor(labels))


@given(
    counts=st.lists(st.integers(3, 8), min_size=1, max_size=5),
    per_class=st.integers(1, 3),
    seed=st.integers(0, 99),
    order=st.randoms(use_true_random=False),
)
def test_each_class_has_the_same_number_and_takes_its_turn(counts, per_class, seed, order):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    order.shuffle(labels)
    split = split_of(labels)
    images, drawn, indices = score_batch(split, per_class=per_class, seed=seed)
    assert drawn.tolist() == list(range(len(counts))) * per_class
    assert torch.equal(images, split.images[indices])
    assert torch.equal(drawn, split.labels[indices])
    assert len(indices.unique()) == len(indices)


def test_the_seed_decides_and_nothing_else():
    split = split_of([0, 1] * 40)
    state = torch.get_rng_state()
    first = score_batch(split, per_class=5, seed=3)[2]
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert torch.equal(score_batch(split, per_class=5, seed=3)[2], first)
    assert not torch.equal(score_batch(split, per_class=5, seed=4)[2], first)


def test_digits_gives_ten_images_a_class_by_default():
    images, labels, _ = score_batch(load("digits").train)
    assert images.shape == (100, 1, 32, 32)
    assert (labels.bincount() == 10).all()


@pytest.mark.parametrize(("labels", "label", "count"), [([0, 0, 1, 2, 2], 1, 1), ([0, 0, 2, 2], 1, 0)])
def test_a_class_that_is_too_small_is_named(labels, label, count):
    with pytest.raises(DataError, match=rf"class {label} has {count} image\(s\), 2 are to be drawn"):
        score_batch(split_of(labels), per_class=2)


def test_a_last_class_without_images_is_named_when_the_number_of_classes_is_told():
    with pytest.raises(DataError, match="class 2 has 0"):
        score_batch(split_of([0, 1]), per_class=1, num_classes=3)


def test_less_than_one_image_a_class_is_refused():
    with pytest.raises(ArgumentError, match="per_class is 0"):
        score_batch(split_of([0, 1]), per_class=0)
