"""The files of a run, and JSON in and out of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodepath.atomic import write_atomically
from nodepath.errors import ArgumentError, RunError
from nodepath.runs.spec import RunSpec
from nodepath.train import EpochRecord

__all__ = ["RunDirectory"]

RESULT, SPEC = "result.json", "spec.json"


@dataclass(frozen=True)
class RunDirectory:
    """Where a run keeps its files. Each is written in one stroke, the result last.

    Attributes:
        path: The directory.
    """

    path: Path

    @classmethod
    def of(cls, root: Path | str, spec: RunSpec) -> "RunDirectory":
        """`root/runs/<hash>`; makes nothing."""
        return cls(Path(root) / "runs" / spec.hash)

    @property
    def spec(self) -> Path:
        """What was asked."""
        return self.path / SPEC

    @property
    def environment(self) -> Path:
        """Where it was done."""
        return self.path / "env.json"

    @property
    def metrics(self) -> Path:
        """One JSON line an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def masks(self) -> Path:
        """The mask set."""
        return self.path / "masks.safetensors"

    @property
    def weights(self) -> Path:
        """The trained state_dict."""
        return self.path / "weights.safetensors"

    @property
    def checkpoint(self) -> Path:
        """Where an unfinished training stands; gone when it has finished."""
        return self.path / "checkpoint.safetensors"

    @property
    def result(self) -> Path:
        """What came out; there if and only if the run has finished."""
        return self.path / RESULT

    def make(self) -> None:
        """Make the directory, and clear away drafts that a killed process left.

        Raises:
            RunError: The system refuses.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for draft in self.path.glob(".*.tmp"):
                draft.unlink()
        except OSError as error:
            raise RunError(f"cannot make {self.path}: {error.strerror or error}; choose another place with -o") from (
                error
            )

    def read_spec(self) -> RunSpec:
        """What was asked.

        Raises:
            RunError: The file is damaged, or was written by a nodepath that knew other fields.
        """
        try:
            return RunSpec(**read_json(self.spec))
        except ArgumentError as error:
            raise RunError(f"{self.spec} is no spec of this nodepath ({error}); run it again in another -o") from error

    def read_metrics(self) -> tuple[EpochRecord, ...]:
        """One record an epoch.

        Raises:
            RunError: The file is missing or damaged; names it and the line.
        """
        records = []
        for number, line in enumerate(_read(self.metrics).splitlines(), start=1):
            try:
                records.append(EpochRecord(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise RunError(f"{self.metrics}, line {number}, is damaged ({error}); {_AGAIN}") from error
        return tuple(records)

    def write_metrics(self, history: tuple[EpochRecord, ...]) -> None:
        """All lines anew: few, and never a torn one."""
        lines = [json.dumps(record.to_dict(), allow_nan=False) + "\n" for record in history]
        write_atomically(self.metrics, "".join(lines).encode(), RunError)


_AGAIN = "delete the run's directory and run it again"


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON object in one stroke.

    Raises:
        RunError: The system refuses to write there.
    """
    write_atomically(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode(), RunError)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        RunError: The file is missing or damaged; names it.
    """
    try:
        document = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({error}); {_AGAIN}") from error
    if not isinstance(document, dict):
        raise RunError(f"{path} holds a {type(document).__name__}, not an object; {_AGAIN}")
    return document


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}; {_AGAIN}") from error
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is damaged ({error.reason} at byte {error.start}); {_AGAIN}") from error
