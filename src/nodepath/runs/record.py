"""Finished runs, read back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from nodepath.errors import MaskFileError, RunError
from nodepath.masks import MaskSet
from nodepath.runs.directory import RESULT, SPEC, RunDirectory, read_json
from nodepath.runs.spec import RunSpec
from nodepath.train import EpochRecord
from nodepath.train.tensor_file import read_tensors

__all__ = ["Record", "read_records", "unfinished"]

_PROMISED = (
    "model",
    "data",
    "method",
    "sparsity",
    "seed",
    "accuracy_last",
    "accuracy_best",
    "seconds",
    "topology",
)


@dataclass(frozen=True)
class Record:
    """A finished run, read-only.

    Attributes:
        path: Its directory.
        spec: What was asked.
        result: What came out: the keys of `result.json`.
        metrics: One record an epoch.
    """

    path: Path
    spec: RunSpec
    result: Mapping[str, Any]
    metrics: tuple[EpochRecord, ...]

    @classmethod
    def load(cls, path: Path | str) -> "Record":
        """Read a run's directory.

        Raises:
            RunError: It has not finished, or a file is missing or damaged; names the file.
        """
        files = RunDirectory(Path(path))
        if not files.result.exists():
            raise RunError(f"{files.path} holds no finished run (no {RESULT}); finish it with --resume")
        result = read_json(files.result)
        for key in _PROMISED:
            if key not in result:
                raise RunError(f"{files.result} lacks '{key}'; delete the run's directory and run it again")
        return cls(files.path, files.read_spec(), MappingProxyType(result), files.read_metrics())

    def environment(self) -> dict[str, Any]:
        """Where it was done, from `env.json`.

        Raises:
            RunError: The file is missing or damaged.
        """
        return read_json(RunDirectory(self.path).environment)

    def masks(self) -> MaskSet:
        """What was kept.

        Raises:
            RunError: The file is missing or damaged.
        """
        return read_masks(RunDirectory(self.path).masks)

    def weights(self) -> dict[str, Tensor]:
        """The trained state_dict, on the CPU.

        Raises:
            RunError: The file is missing or damaged.
        """
        return read_tensors(RunDirectory(self.path).weights)[0]


def read_masks(path: Path) -> MaskSet:
    """A run's mask file.

    Raises:
        RunError: It is missing or damaged; names it.
    """
    try:
        return MaskSet.load(path)
    except MaskFileError as error:
        raise RunError(f"the run's masks cannot be read: {error}; or delete the file and --resume") from error


def read_records(root: Path | str) -> list[Record]:
    """All finished runs in a folder or below, at any depth, ordered by path; unfinished ones are left out.

    Raises:
        RunError: No such folder, or a finished run is damaged; names the file.
    """
    return [Record.load(path) for path in _directories(root) if (path / RESULT).exists()]


def unfinished(root: Path | str) -> list[Path]:
    """The directories of runs that have begun and not finished, in a folder or below, ordered by path.

    Raises:
        RunError: No such folder.
    """
    return [path for path in _directories(root) if not (path / RESULT).exists()]


def _directories(root: Path | str) -> Iterator[Path]:
    root = Path(root)
    if not root.is_dir():
        raise RunError(f"no folder '{root}'; name one that holds runs, as -o of train or study did")
    yield from sorted(path.parent for path in root.rglob(SPEC))
