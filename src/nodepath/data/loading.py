"""Find a data set by name or folder and read it into memory."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nodepath.data import cifar, idx, parquet  # noqa: F401  # each files its formats
from nodepath.data.augment import height_and_width, resize
from nodepath.data.dataset import Dataset, Split
from nodepath.data.digits import load_digits
from nodepath.data.formats import FORMATS, DataFormat, ReadOptions
from nodepath.errors import DataError
from nodepath.registry import Registry, nearest

__all__ = ["EMBEDDED", "load", "names"]

EMBEDDED: Registry[Callable[[], Dataset]] = Registry("data set", group="nodepath.datasets")
EMBEDDED.register("digits")(load_digits)


def names() -> list[str]:
    """The data sets that need no folder, sorted."""
    return EMBEDDED.names()


def load(
    name: str | Path,
    *,
    label_column: str | None = None,
    image_column: str | None = None,
    size: int | tuple[int, int] | None = None,
) -> Dataset:
    """Read a data set into memory.

    Args:
        name: An embedded data set (`names()`), or a folder; its files tell the format: IDX (MNIST and
            relatives), CIFAR-10 or CIFAR-100 python batches, Hugging Face image Parquet, or one that an
            installed package added. A `Path` is always a folder; `./digits` too.
        label_column: Which column holds the labels, where there are several: any integer column of
            Parquet files; `fine_labels` or `coarse_labels` of CIFAR-100.
        image_column: Which column of Parquet files holds the images, where there are several.
        size: Stretch each image to this (height, width) in pixels, bilinear with antialiasing; one number for both.

    Raises:
        DataError: No such data set or folder, no known format in it, or files that are damaged or do not
            fit each other; the message names the file, the value and the way out.
        ArgumentError: A side of `size` is below 1.
    """
    sides = None if size is None else height_and_width(size)
    options = ReadOptions(label_column=label_column, image_column=image_column, size=sides)
    dataset = _embedded(name, options) if isinstance(name, str) and name in EMBEDDED else _from_folder(name, options)
    if sides is None:
        return dataset
    return replace(
        dataset,
        train=Split(resize(dataset.train.images, sides), dataset.train.labels),
        test=Split(resize(dataset.test.images, sides), dataset.test.labels),
        description=f"{dataset.description} All images stretched to {sides[0]}x{sides[1]} (size=).",
    )


def _embedded(name: str, options: ReadOptions) -> Dataset:
    for option in ("label_column", "image_column"):
        if getattr(options, option) is not None:
            raise DataError(f"data set '{name}' is embedded and has no columns; leave {option}= out")
    return EMBEDDED[name]()


def _from_folder(name: str | Path, options: ReadOptions) -> Dataset:
    folder = Path(name).expanduser()
    if not folder.exists():
        raise DataError(
            f"no data set '{name}': no such folder, nor embedded ({nearest(str(name), names())}); name the folder that "
            "holds it"
        )
    if not folder.is_dir():
        raise DataError(f"'{name}' is a file; name the folder that holds the data set: '{folder.parent}'")
    formats: dict[str, DataFormat] = {key: FORMATS[key]() for key in FORMATS.names()}
    found = [key for key, reader in formats.items() if reader.find(folder)]
    if not found:
        wanted = "; ".join(reader.looks_for for reader in formats.values())
        raise DataError(f"no data set in '{folder}'; looked for {wanted}")
    if len(found) > 1:
        raise DataError(f"'{folder}' holds several data sets ({', '.join(found)}); give each its own folder")
    return formats[found[0]].read(folder, options)
