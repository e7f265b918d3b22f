"""For all tests."""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

# Several processes share the cores, and would wait for each other's threads. The variable is for those they start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from nodepath.cli.main import run
from nodepath.data import Dataset, Split, load

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load("digits")


@pytest.fixture(scope="session")
def few(digits: Dataset) -> Dataset:
    """The first images of digits: 257 to train, so that the last batch of 64 or 128 is a single image."""
    train = Split(digits.train.images[:257], digits.train.labels[:257])
    return replace(digits, train=train, test=Split(digits.test.images[:60], digits.test.labels[:60]))


@dataclass(frozen=True)
class Outcome:
    """What a call of the command line leaves."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The answer of a call with --json."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line of a mistake."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]


@pytest.fixture
def nodepath(capsys, monkeypatch, tmp_path) -> Iterator[Callable[..., Outcome]]:
    """The command line in an empty folder, in this process; what it changes there is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    show = warnings.showwarning

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        streams = capsys.readouterr()
        return Outcome(code, streams.out, streams.err)

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield call
    warnings.showwarning = show
