"""Which Parquet files of a folder belong to which split."""

import re
from dataclasses import dataclass
from pathlib import Path

from nodepath.errors import DataError

__all__ = ["SplitFiles", "list_parquet", "sort_into_splits"]

_SPLIT = re.compile(r"(train|test|val)", re.IGNORECASE)  # `val` begins valid and validation too
_SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class SplitFiles:
    """The shards of each split in order, and a remark on files that are not used, or that stand in."""

    train: list[Path]
    test: list[Path]
    remark: str


def list_parquet(folder: Path) -> list[Path]:
    """All Parquet files at any depth, hidden folders (caches) apart, in natural order (2 before 10)."""
    files = [
        file
        for file in folder.rglob("*.parquet")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    return sorted(files, key=lambda file: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", str(file))])


def sort_into_splits(folder: Path) -> SplitFiles:
    """Tell train from test by file name, or by the name of a folder above where the file's name does not say.

    Validation files stand in for test only where there are no test files.

    Raises:
        DataError: No train files, neither test nor validation files, one split's files in several folders
            (several data sets), or a missing shard.
    """
    files = list_parquet(folder)
    splits: dict[str, list[Path]] = {"train": [], "test": [], "val": [], "": []}
    for file in files:
        splits[_role(file, folder)].append(file)
    listed = ", ".join(str(file.relative_to(folder)) for file in files[:5]) + (", ..." if len(files) > 5 else "")
    if not splits["train"]:
        raise DataError(f"'{folder}' has no train*.parquet among its Parquet files ({listed}); rename them by split")
    test = splits["test"] or splits["val"]
    if not test:
        raise DataError(
            f"'{folder}' has neither test*.parquet nor validation*.parquet among its Parquet files ({listed}); "
            "rename them by split"
        )
    for shards in (splits["train"], test):
        _check_one_folder(shards, folder)
        _check_complete(shards)
    remarks = []
    if not splits["test"]:
        remarks.append("Its validation files are the test split.")
    elif splits["val"]:
        remarks.append("Its validation files are not used.")
    if splits[""]:
        remarks.append(f"Not used: {', '.join(file.name for file in splits[''])}.")
    return SplitFiles(splits["train"], test, " ".join(remarks))


def _role(file: Path, folder: Path) -> str:
    for part in reversed(file.relative_to(folder).parts):
        if match := _SPLIT.match(part):
            return match[1].lower()
    return ""


def _check_one_folder(shards: list[Path], folder: Path) -> None:
    places = sorted({str(file.parent) for file in shards})
    if len(places) > 1:
        raise DataError(
            f"'{folder}' holds several data sets, {shards[0].name} and others lie in {' and '.join(places)}; "
            "name the one folder that you mean"
        )


def _check_complete(shards: list[Path]) -> None:
    present: dict[tuple[str, int], set[int]] = {}
    for file in shards:
        if match := _SHARD.fullmatch(file.stem):
            present.setdefault((match[1], int(match[3])), set()).add(int(match[2]))
    for (stem, total), numbers in present.items():
        missing = sorted(set(range(total)) - numbers)
        if missing:
            raise DataError(
                f"{shards[0].parent} lacks {len(missing)} of {total} shards of '{stem}', the first number {missing[0]}"
                "; fetch all of them"
            )
