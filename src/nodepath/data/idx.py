"""IDX: the format of MNIST and its relatives (Fashion-MNIST, KMNIST)."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nodepath.data.dataset import Dataset, Split
from nodepath.data.formats import FORMATS, ReadOptions, refuse_columns
from nodepath.data.labels import check_labels, numbered_classes
from nodepath.errors import DataError

__all__ = ["Idx", "read_idx"]

_SPLITS = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTE = 8


def _spellings(prefix: str, kind: str) -> list[str]:
    dimensions = {"images": 3, "labels": 1}[kind]
    stems = [f"{prefix}-{kind}-idx{dimensions}-ubyte", f"{prefix}-{kind}.idx{dimensions}-ubyte"]
    return [stem + suffix for stem in stems for suffix in ("", ".gz")]


def _find_file(folder: Path, prefix: str, kind: str) -> Path | None:
    for place in (folder, folder / "raw"):
        for spelling in _spellings(prefix, kind):
            if (place / spelling).is_file():
                return place / spelling
    return None


def read_idx(file: Path, dimensions: int) -> Tensor:
    """Read one IDX file of unsigned bytes, gzipped or not.

    The header is big-endian: two zero bytes, the type (8: unsigned byte), the number of dimensions, and
    four bytes for the length of each. Source: LeCun, Cortes, Burges, the MNIST database.

    Args:
        file: Its content decides whether it is gzipped, not its name.
        dimensions: How many it must have: 3 for images, 1 for labels.

    Returns:
        uint8, of the shape that the header says.

    Raises:
        DataError: Not IDX, another type or number of dimensions, or not as long as its header says.
    """
    try:
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read: {error}; fetch it again") from error
    wanted = bytes((0, 0, _UNSIGNED_BYTE, dimensions))
    if content[:4] != wanted:
        raise DataError(
            f"{file} begins with {content[:4].hex(' ') or 'nothing'}, not {wanted.hex(' ')}: no IDX file of bytes in "
            f"{dimensions} dimension(s); fetch it again"
        )
    start = 4 + 4 * dimensions
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise DataError(
            f"{file} holds {max(0, len(content) - start)} bytes of data where its header says {math.prod(shape)} "
            f"({' x '.join(map(str, shape))}); it is truncated or damaged, fetch it again"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


@FORMATS.register("idx")
class Idx:
    """MNIST's four files, in the folder or in `raw` below it; class names are not in them."""

    looks_for = "IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., also .gz)"

    def find(self, folder: Path) -> bool:
        """Whether any of the four files is there."""
        return any(_find_file(folder, prefix, kind) for prefix in _SPLITS.values() for kind in ("images", "labels"))

    def read(self, folder: Path, options: ReadOptions) -> Dataset:
        """Read the four files: grey images (N, 1, H, W).

        Raises:
            DataError: A file is missing or damaged, or images and labels do not fit each other.
        """
        refuse_columns(options, folder)
        files = {
            (role, kind): self._file(folder, prefix, kind)
            for role, prefix in _SPLITS.items()
            for kind in ("images", "labels")
        }
        splits = {role: self._split(files[role, "images"], files[role, "labels"]) for role in _SPLITS}
        classes = numbered_classes(splits["train"].labels, str(files["train", "labels"]))
        check_labels(splits["test"].labels, len(classes), str(files["test", "labels"]))
        train, test = splits["train"], splits["test"]
        height, width = train.images.shape[2:]
        return Dataset(
            name=folder.resolve().name,
            train=train,
            test=test,
            classes=classes,
            description=f"IDX files from folder '{folder.resolve().name}': {len(train):,} train and {len(test):,} "
            f"test images of {height}x{width} grey pixels in {len(classes)} classes, in the files' own split.",
            flips=False,
        )

    @staticmethod
    def _file(folder: Path, prefix: str, kind: str) -> Path:
        file = _find_file(folder, prefix, kind)
        if file is None:
            raise DataError(f"{folder} lacks {_spellings(prefix, kind)[0]}[.gz]; put it beside the other IDX files")
        return file

    @staticmethod
    def _split(images_file: Path, labels_file: Path) -> Split:
        images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
        if len(images) != len(labels):
            raise DataError(
                f"{images_file} holds {len(images)} images but {labels_file} {len(labels)} labels; "
                "fetch both from one source"
            )
        if images.numel() == 0:
            raise DataError(f"{images_file} holds no image (its shape is {tuple(images.shape)}); fetch it again")
        return Split(images.unsqueeze(1), labels.long())
