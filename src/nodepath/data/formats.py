"""What a reader of a data format looks like, and the table of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nodepath.data.dataset import Dataset
from nodepath.errors import DataError
from nodepath.registry import Registry

__all__ = ["FORMATS", "DataFormat", "ReadOptions", "refuse_columns"]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a user may say about how to read a folder.

    Args:
        label_column: Which column holds the labels, for formats with named columns.
        image_column: Which column holds the images, for formats with named columns.
        size: Height and width to stretch each image to. Only formats whose images differ in size need to
            heed it; `load` resizes what comes back in another size.
    """

    label_column: str | None = None
    image_column: str | None = None
    size: tuple[int, int] | None = None


class DataFormat(Protocol):
    """A reader of one format. Register the class; it is made without arguments."""

    looks_for: str
    """The files it needs, for the message where no format fits."""

    def find(self, folder: Path) -> bool:
        """Whether the folder holds at least one file of this format. Reads names only."""
        ...

    def read(self, folder: Path, options: ReadOptions) -> Dataset:
        """Read the whole data set into memory.

        Raises:
            DataError: A file is missing, damaged or does not fit the others; names it.
        """
        ...


FORMATS: Registry[type[DataFormat]] = Registry("data format", group="nodepath.data_formats")


def refuse_columns(options: ReadOptions, folder: Path, allowed: tuple[str, ...] = ()) -> None:
    """For formats without freely named columns: an option that could only be ignored is an error.

    Raises:
        DataError: A column is asked for that is not in `allowed`.
    """
    for option in ("label_column", "image_column"):
        value = getattr(options, option)
        if value is not None and not (option == "label_column" and value in allowed):
            known = f"this format has {', '.join(allowed)}" if allowed else "this format has no columns; leave it out"
            raise DataError(f"{folder}: {option}='{value}' does not apply; {known}")
