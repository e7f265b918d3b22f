"""Hugging Face image Parquet: encoded images and class numbers in columns of any name, in shards."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodepath.data.augment import resize, to_channels
from nodepath.data.dataset import Dataset, Split
from nodepath.data.decode import decode_image
from nodepath.data.flips import flip_keeps_class
from nodepath.data.formats import FORMATS, ReadOptions
from nodepath.data.labels import check_labels, numbered_classes, read_class_names
from nodepath.data.parquet_columns import Columns, find_columns
from nodepath.data.parquet_files import list_parquet, sort_into_splits
from nodepath.errors import DataError

__all__ = ["Parquet"]

_ROWS_AT_ONCE = 1024  # bounds the encoded images held beside the decoded ones


@dataclass(frozen=True)
class _Shard:
    """One open file."""

    file: Path
    reader: Any
    columns: Columns

    @property
    def rows(self) -> int:
        return int(self.reader.metadata.num_rows)

    def batches(self) -> Iterator[Any]:
        yield from self.reader.iter_batches(batch_size=_ROWS_AT_ONCE, columns=[self.columns.image, self.columns.label])


def _open(file: Path, options: ReadOptions) -> _Shard:
    import pyarrow as pa
    from pyarrow import parquet as pq

    try:
        reader = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is no readable Parquet file ({_first_line(error)}); fetch it again") from error
    return _Shard(file, reader, find_columns(reader.schema_arrow, file, options))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class _Canvas:
    """Room for a split's images, allocated when the first one shows its size; grey until the first colour.

    Args:
        rows: Number of images.
        size: Height and width to stretch each to; None: all must be alike.
    """

    def __init__(self, rows: int, size: tuple[int, int] | None) -> None:
        self._rows = rows
        self._size = size
        self.images: NDArray[np.uint8] | None = None

    def put(self, row: int, image: NDArray[np.uint8], where: str) -> None:
        if self._size is not None and image.shape[-2:] != self._size:
            channels_first = torch.from_numpy(image.reshape(1, -1, *image.shape[-2:]).copy())
            image = resize(channels_first, self._size)[0].numpy()
            image = image[0] if len(image) == 1 else image
        if self.images is None:
            self.images = np.empty((self._rows, 1 if image.ndim == 2 else 3, *image.shape[-2:]), np.uint8)
        if image.shape[-2:] != self.images.shape[-2:]:
            here, first = ("x".join(map(str, shape[-2:])) for shape in (image.shape, self.images.shape))
            raise DataError(
                f"{where}: the image is {here} pixels where the first is {first}; pass size= to stretch all to one size"
            )
        if image.ndim == 3 and self.images.shape[1] == 1:
            self.images = np.repeat(self.images, 3, axis=1)
        self.images[row] = image  # a grey image goes to all channels


def _encoded_images(column: Any) -> list[bytes | None]:
    import pyarrow as pa

    if pa.types.is_struct(column.type):
        column = column.flatten()[column.type.get_field_index("bytes")]
    values: list[bytes | None] = column.to_pylist()
    return values


def _numbers(column: Any, shard: _Shard, start: int) -> Tensor:
    import pyarrow as pa

    if column.null_count:
        row = start + column.is_valid().to_pylist().index(False)
        raise DataError(f"{shard.file}, row {row}: '{shard.columns.label}' is empty; give every image a label")
    try:
        return torch.from_numpy(column.cast(pa.int64()).to_numpy(zero_copy_only=False).copy())
    except pa.ArrowException as error:
        raise DataError(
            f"{shard.file}: '{shard.columns.label}' holds a value that is no class number ({_first_line(error)}); "
            "number the classes from 0"
        ) from error


def _read_shard(shard: _Shard, canvas: _Canvas, start: int) -> Tensor:
    """Decode all rows of a file onto the canvas from position `start` on; gives back its labels."""
    import pyarrow as pa

    labels, row = [], 0
    try:
        for batch in shard.batches():
            labels.append(_numbers(batch.column(1), shard, row))
            for content in _encoded_images(batch.column(0)):
                where = f"{shard.file}, row {row}"
                canvas.put(start + row, decode_image(content, where), where)
                row += 1
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{shard.file} is damaged ({_first_line(error)}); fetch it again") from error
    return torch.cat(labels) if labels else torch.empty(0, dtype=torch.int64)


def _read_split(shards: list[_Shard], size: tuple[int, int] | None) -> tuple[Tensor, list[Tensor]]:
    """Images of all shards, and the labels of each."""
    canvas, labels, start = _Canvas(sum(shard.rows for shard in shards), size), [], 0
    for shard in shards:
        labels.append(_read_shard(shard, canvas, start))
        start += shard.rows
    if canvas.images is None:
        raise DataError(f"{', '.join(str(shard.file) for shard in shards)}: no row; a split needs at least one image")
    return torch.from_numpy(canvas.images), labels


def _class_names(shards: list[_Shard], folder: Path) -> tuple[str, ...] | None:
    """From the schemas, which must agree, else from `classes.json` beside the files or in the folder named."""
    told = [shard for shard in shards if shard.columns.classes is not None]
    for shard in told:
        if shard.columns.classes != told[0].columns.classes:
            raise DataError(
                f"{told[0].file} and {shard.file} name different classes for '{shard.columns.label}'; "
                "take both from one data set"
            )
    if told:
        return told[0].columns.classes
    for file in (shards[0].file.parent / "classes.json", folder / "classes.json"):
        if file.is_file():
            return read_class_names(file)
    return None


def _check_same_label(shards: list[_Shard]) -> None:
    for shard in shards:
        if shard.columns.label != shards[0].columns.label:
            raise DataError(
                f"{shards[0].file} has its labels in '{shards[0].columns.label}', {shard.file} in "
                f"'{shard.columns.label}'; choose one with label_column="
            )


@FORMATS.register("parquet")
class Parquet:
    """Files `train*`, `test*` (or `validation*`, `valid*`, `val*`) at any depth below one folder."""

    looks_for = "Hugging Face image Parquet (train*.parquet, test*.parquet or validation*.parquet, also in subfolders)"

    def find(self, folder: Path) -> bool:
        """Whether there is any Parquet file."""
        return bool(list_parquet(folder))

    def read(self, folder: Path, options: ReadOptions) -> Dataset:
        """Decode all images: (N, 1, H, W) if all are grey, else (N, 3, H, W).

        Raises:
            DataError: A file, row or column is damaged, missing or does not fit the others.
        """
        files = sort_into_splits(folder)
        train, test = ([_open(file, options) for file in part] for part in (files.train, files.test))
        _check_same_label(train + test)
        classes = _class_names(train + test, folder)
        train_images, train_labels = _read_split(train, options.size)
        test_images, test_labels = _read_split(test, options.size)
        if classes is None:
            classes = numbered_classes(torch.cat(train_labels), str(train[0].file.parent))
        for shard, labels in zip(train + test, train_labels + test_labels, strict=True):
            check_labels(labels, len(classes), f"{shard.file}, column '{shard.columns.label}'")
        channels = max(train_images.shape[1], test_images.shape[1])
        height, width = train_images.shape[2:]
        kind = "colour" if channels == 3 else "grey"
        return Dataset(
            name=folder.resolve().name,
            train=Split(to_channels(train_images, channels), torch.cat(train_labels)),
            test=Split(to_channels(test_images, channels), torch.cat(test_labels)),
            classes=classes,
            description=f"Parquet files from folder '{folder.resolve().name}': {len(train_images):,} train and "
            f"{len(test_images):,} test images of {height}x{width} {kind} pixels in {len(classes)} classes, "
            f"in the files' own split. {files.remark}".rstrip(),
            flips=flip_keeps_class(channels, classes),
        )
