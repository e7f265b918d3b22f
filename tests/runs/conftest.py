from dataclasses import replace

import pytest
import torch

from nodepath.data import Dataset, Split, load


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load("digits")


@pytest.fixture(scope="session")
def few(digits: Dataset) -> Dataset:
    """The first images of digits: 257 to train, so that the last batch of 64 or 128 is a single image."""
    train = Split(digits.train.images[:257], digits.train.labels[:257])
    return replace(digits, train=train, test=Split(digits.test.images[:60], digits.test.labels[:60]))
