"""Class numbers and class names: are they in range, what are the classes called."""

import json
from pathlib import Path

from torch import Tensor

from nodepath.errors import DataError

__all__ = ["check_labels", "numbered_classes", "read_class_names"]


def check_labels(labels: Tensor, num_classes: int, where: str) -> None:
    """Refuse a label that is not the number of a class.

    Args:
        labels: int64, shape (N,).
        num_classes: Number of classes K.
        where: What the message begins with: the file or the split.

    Raises:
        DataError: A label is not in 0 .. K - 1; names the first one and its row.
    """
    wrong = ((labels < 0) | (labels >= num_classes)).nonzero().flatten()
    if len(wrong) == 0:
        return
    row = int(wrong[0])
    value = int(labels[row])
    way_out = (
        "a negative label usually marks a split whose labels are withheld: leave its files out"
        if value < 0
        else "number the classes from 0, and name every class"
    )
    raise DataError(f"{where}, row {row}: label {value} is not in 0..{num_classes - 1}; {way_out}")


def numbered_classes(train_labels: Tensor, where: str) -> tuple[str, ...]:
    """Names for classes of which only the numbers are known: "0" up to the largest train label.

    Args:
        train_labels: int64, shape (N,), N >= 1.
        where: What the message begins with.

    Raises:
        DataError: A label is negative, or not below the number of train images: then it is no class number.
    """
    check_labels(train_labels, len(train_labels), where)
    return tuple(str(number) for number in range(int(train_labels.max()) + 1))


def read_class_names(file: Path) -> tuple[str, ...]:
    """Class names from a JSON list of strings.

    Raises:
        DataError: The file is not a JSON list of at least one string.
    """
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}; give a list of class names") from error
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f'{file} is not a JSON list of class names; give e.g. ["cat", "dog"]')
    return tuple(names)
