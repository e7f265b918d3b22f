"""The python batches of CIFAR-10 and CIFAR-100."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nodepath.data.dataset import Dataset, Split
from nodepath.data.formats import FORMATS, ReadOptions, refuse_columns
from nodepath.data.labels import check_labels
from nodepath.data.safe_pickle import load_plain_pickle
from nodepath.errors import DataError

__all__ = ["Cifar10", "Cifar100"]

_SHAPE = (3, 32, 32)


def _entry(content: dict[str, Any], key: str, file: Path) -> Any:
    if key not in content:
        raise DataError(f"{file} has no '{key}' (it has {', '.join(sorted(content)) or 'nothing'}); fetch it again")
    return content[key]


def _read_names(file: Path, key: str) -> tuple[str, ...]:
    names = _entry(load_plain_pickle(file), key, file)
    if not isinstance(names, list) or not names or not all(isinstance(name, str | bytes) for name in names):
        raise DataError(f"{file}: '{key}' is not a list of class names; fetch it again")
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names)


def _read_batch(file: Path, label_key: str, num_classes: int) -> tuple[Tensor, Tensor]:
    content = load_plain_pickle(file)
    data, labels = _entry(content, "data", file), _entry(content, label_key, file)
    width = int(np.prod(_SHAPE))
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != width:
        shape = data.shape if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{file}: 'data' is {shape}, not an array of {width} bytes an image; fetch it again")
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise DataError(f"{file}: '{label_key}' is not a list of whole numbers; fetch it again")
    if len(data) != len(labels):
        raise DataError(f"{file} holds {len(data)} images but {len(labels)} labels; fetch it again")
    numbers = torch.tensor(labels, dtype=torch.int64)
    check_labels(numbers, num_classes, str(file))
    return torch.from_numpy(data.copy()).reshape(-1, *_SHAPE), numbers


def _read_split(files: list[Path], label_key: str, num_classes: int) -> Split:
    parts = [_read_batch(file, label_key, num_classes) for file in files]
    images = torch.cat([part[0] for part in parts])
    if len(images) == 0:
        raise DataError(f"{', '.join(map(str, files))}: no image; fetch the data set again")
    return Split(images, torch.cat([part[1] for part in parts]))


@dataclass(frozen=True)
class _Layout:
    """Which files a CIFAR data set has, and under which keys they hold labels and class names."""

    subfolder: str
    train: tuple[str, ...]
    test: str
    meta: str
    names: dict[str, str]  # key of labels -> key of class names; the first is the default

    def base(self, folder: Path) -> Path | None:
        for base in (folder, folder / self.subfolder):
            if any((base / name).is_file() for name in (*self.train, self.test)):
                return base
        return None

    def read(self, folder: Path, options: ReadOptions) -> Dataset:
        refuse_columns(options, folder, allowed=tuple(self.names))
        base = self.base(folder) or folder
        missing = [name for name in (*self.train, self.test, self.meta) if not (base / name).is_file()]
        if missing:
            raise DataError(f"{base} lacks {', '.join(missing)}; unpack the whole archive into one folder")
        key = options.label_column or next(iter(self.names))
        classes = _read_names(base / self.meta, self.names[key])
        train = _read_split([base / name for name in self.train], key, len(classes))
        test = _read_split([base / self.test], key, len(classes))
        return Dataset(
            name=folder.resolve().name,
            train=train,
            test=test,
            classes=classes,
            description=f"CIFAR python batches from folder '{folder.resolve().name}' ('{key}'): {len(train):,} train "
            f"and {len(test):,} test images of 32x32 colour pixels in {len(classes)} classes, in the files' own split.",
            flips=True,
        )


_CIFAR10 = _Layout(
    subfolder="cifar-10-batches-py",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test="test_batch",
    meta="batches.meta",
    names={"labels": "label_names"},
)
_CIFAR100 = _Layout(
    subfolder="cifar-100-python",
    train=("train",),
    test="test",
    meta="meta",
    names={"fine_labels": "fine_label_names", "coarse_labels": "coarse_label_names"},
)


@FORMATS.register("cifar10")
class Cifar10:
    """CIFAR-10's `data_batch_1` to `data_batch_5`, `test_batch` and `batches.meta`."""

    looks_for = "CIFAR-10 python batches (data_batch_1..5, test_batch, batches.meta)"

    def find(self, folder: Path) -> bool:
        """Whether any batch is there, or in `cifar-10-batches-py` below."""
        return _CIFAR10.base(folder) is not None

    def read(self, folder: Path, options: ReadOptions) -> Dataset:
        """Read all batches: colour images (N, 3, 32, 32).

        Raises:
            DataError: A file is missing, damaged, or asks to run code.
        """
        return _CIFAR10.read(folder, options)


@FORMATS.register("cifar100")
class Cifar100:
    """CIFAR-100's `train`, `test` and `meta`; `label_column="coarse_labels"` takes its 20 superclasses."""

    looks_for = "CIFAR-100 python files (train, test, meta)"

    def find(self, folder: Path) -> bool:
        """Whether a split's file is there, or in `cifar-100-python` below."""
        return _CIFAR100.base(folder) is not None

    def read(self, folder: Path, options: ReadOptions) -> Dataset:
        """Read both splits: colour images (N, 3, 32, 32).

        Raises:
            DataError: A file is missing, damaged, or asks to run code.
        """
        return _CIFAR100.read(folder, options)
