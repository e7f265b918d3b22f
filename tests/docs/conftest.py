"""Read what the documents show, and do it."""

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from nodepath_calls import Outcome, call


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def nodepath(capsys, monkeypatch, tmp_path) -> Iterator[Callable[..., Outcome]]:
    """The command line, in an empty folder; what it changes in the process is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    show = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield lambda *arguments: call(capsys, arguments)
    warnings.showwarning = show
