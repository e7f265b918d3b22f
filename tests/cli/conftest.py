"""Run the command line as a stranger does: arguments in, exit code and both streams out."""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from nodepath.cli.main import run


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line of a mistake."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]


@pytest.fixture
def nodepath(capsys, monkeypatch, tmp_path) -> Callable[..., Outcome]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    show, threads = warnings.showwarning, torch.get_num_threads()

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        streams = capsys.readouterr()
        return Outcome(code, streams.out, streams.err)

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield call
    warnings.showwarning = show
    torch.set_num_threads(threads)
