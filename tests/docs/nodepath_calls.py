"""One call of the command line, in this process."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from nodepath.cli.main import run


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        return json.loads(self.out)


def call(capsys: pytest.CaptureFixture[str], arguments: Sequence[object]) -> Outcome:
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    streams = capsys.readouterr()
    return Outcome(code, streams.out, streams.err)
