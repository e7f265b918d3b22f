"""Split and Dataset: what they refuse, and what they know of themselves."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nodepath.data import Dataset, Split
from nodepath.data.flips import flip_keeps_class
from nodepath.data.stratified import every_nth_of_each_class
from nodepath.errors import DataError


def split_of(count=6, channels=3, size=(4, 5), seed=0, classes=2):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, channels, *size), dtype=torch.uint8, generator=generator)
    return Split(images, torch.arange(count) % classes)


def dataset_of(train=None, test=None, classes=("cat", "dog")):
    return Dataset("tiny", train or split_of(), test or split_of(count=3, seed=1), classes, "Noise.", flips=True)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 1, 3, 3), torch.zeros(2, dtype=torch.int64), "float32"),
        (torch.zeros(2, 3, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), r"\(2, 3, 3\)"),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int32), "int32"),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2, 1, dtype=torch.int64), r"\(2, 1\)"),
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), "2 images but 3 labels"),
        (torch.zeros(0, 1, 3, 3, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), "hold no pixel"),
    ],
)
def test_a_split_refuses_what_is_not_images_and_labels(images, labels, message):
    with pytest.raises(DataError, match=message):
        Split(images, labels)


def test_a_data_set_refuses_labels_beyond_its_classes():
    with pytest.raises(DataError, match=r"'tiny', test split, row 2: label 2 is not in 0\.\.1"):
        dataset_of(test=split_of(classes=3))


def test_a_data_set_refuses_splits_of_different_shapes():
    with pytest.raises(DataError, match=r"\(3, 4, 5\).*\(1, 4, 5\)"):
        dataset_of(test=split_of(channels=1))


def test_mean_and_std_are_those_of_the_train_split():
    data = dataset_of(train=split_of(count=50))
    fractions = data.train.images.numpy().astype(np.float64) / 255
    np.testing.assert_allclose(data.mean, fractions.mean((0, 2, 3)), rtol=1e-13)
    np.testing.assert_allclose(data.std, fractions.std((0, 2, 3)), rtol=1e-13)


def test_a_data_set_knows_its_sizes():
    data = dataset_of()
    assert (data.num_classes, data.channels, data.image_size) == (2, 3, (4, 5))
    assert (len(data.train), len(data.test)) == (6, 3)


def test_the_fingerprint_changes_with_any_byte_or_label():
    data = dataset_of()
    assert len(data.fingerprint) == 16
    assert dataset_of().fingerprint == data.fingerprint
    for role in ("train", "test"):
        for part in ("images", "labels"):
            split = copy.deepcopy(getattr(data, role))
            tensor = getattr(split, part)
            tensor.view(-1)[-1] = 1 - tensor.view(-1)[-1]
            assert dataclasses.replace(data, **{role: split}).fingerprint != data.fingerprint


def test_the_fingerprint_tells_shapes_apart():
    data = dataset_of()
    turned = [Split(split.images.reshape(-1, 3, 5, 4), split.labels) for split in (data.train, data.test)]
    assert dataset_of(*turned).fingerprint != data.fingerprint


def test_a_data_set_survives_the_way_to_another_process():
    data = dataset_of()
    assert pickle.loads(pickle.dumps(data)).fingerprint == data.fingerprint


@pytest.mark.parametrize(
    "classes",
    [
        ["airplane", "automobile", "bird"],
        ["n01443537 goldfish", "n01784675 centipede"],
        ["n01443537", "n01784675"],
        ["one-way sign pole", "fifty fifth street"],
    ],
)
def test_colour_images_of_named_things_may_be_flipped(classes):
    assert flip_keeps_class(3, classes)
    assert not flip_keeps_class(1, classes)


@pytest.mark.parametrize(
    "name", ["0", "12", "A", "é", "", "class_3", "label 7", "digit-1", "c0", "0 - zero", "Seven", "letter_b"]
)
def test_signs_and_unknown_names_may_not_be_flipped(name):
    assert not flip_keeps_class(3, ["cat", name])


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), n=st.integers(2, 7))
def test_the_stratified_split_gives_each_class_its_share(labels, n):
    tensor = torch.tensor(labels)
    rest, taken = every_nth_of_each_class(tensor, n)
    assert sorted(rest.tolist() + taken.tolist()) == list(range(len(labels)))
    assert rest.tolist() == sorted(rest.tolist())
    assert taken.tolist() == sorted(taken.tolist())
    for label in set(labels):
        assert int((tensor[taken] == label).sum()) == labels.count(label) // n
