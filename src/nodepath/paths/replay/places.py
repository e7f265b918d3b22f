"""Places that hold the same counts: one stands for all of its class.

An input of ones is the same everywhere; a convolution tells places apart by which of its cells lie on padding, and by
the classes of the places that the others read. So the counts at a place depend on its row through the class of the row
alone, and on its column through that of the column: of an image of 224 x 224, four rows and four columns are left after
the first layers. This holds for any weights, so the sum of the outputs is the same function of them, and its slopes are
the same as well.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from nodepath.paths.geometry import Geometry

__all__ = ["Axis", "Reads", "common", "layer_reads", "reading", "table", "window_reads"]

Reads = tuple[tuple[int, ...], ...]
"""Of each place of the output along an axis, the place of the input that each cell of a window reads; -1 for none."""


@dataclass(frozen=True)
class Axis:
    """An axis of an activation.

    Attributes:
        classes: Of each place, the number of its class; numbered as they first appear.
    """

    classes: tuple[int, ...]

    @classmethod
    def even(cls, size: int) -> "Axis":
        """All places are alike."""
        return cls((0,) * size)

    @classmethod
    def distinct(cls, size: int) -> "Axis":
        """No two are."""
        return cls(tuple(range(size)))

    @classmethod
    def of(cls, keys: Iterable[Hashable]) -> "Axis":
        """Places of one key are of one class."""
        numbers: dict[Hashable, int] = {}
        return cls(tuple(numbers.setdefault(key, len(numbers)) for key in keys))

    @property
    def number(self) -> int:
        """How many classes there are."""
        return max(self.classes, default=-1) + 1

    @property
    def firsts(self) -> list[int]:
        """The first place of each class."""
        seen: dict[int, int] = {}
        for place, each in enumerate(self.classes):
            seen.setdefault(each, place)
        return list(seen.values())

    @property
    def sizes(self) -> list[int]:
        """How many places each class has."""
        found = [0] * self.number
        for each in self.classes:
            found[each] += 1
        return found


@lru_cache(maxsize=4096)
def window_reads(size: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Reads:
    """Of a convolution or a pooling window."""
    places = ([o * stride + c * dilation - padding for c in range(kernel)] for o in range(outputs))
    return tuple(tuple(place if 0 <= place < size else -1 for place in row) for row in places)


@lru_cache(maxsize=4096)
def _transposed_reads(size: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int) -> Reads:
    """Of a transposed convolution: input i writes to i * stride + cell * dilation - padding."""
    rows = []
    for output in range(outputs):
        steps = (divmod(output + padding - cell * dilation, stride) for cell in range(kernel))
        rows.append(tuple(place if rest == 0 and 0 <= place < size else -1 for place, rest in steps))
    return tuple(rows)


def layer_reads(
    geometry: Geometry, sizes: Sequence[int], outputs: Sequence[int], folded: Sequence[bool]
) -> list[Reads]:
    """Of a layer, for each axis of the input but that of the channels.

    Args:
        geometry: Of the layer, as the model has it.
        sizes: Of the axes of its input but that of the channels.
        outputs: Of those of its output.
        folded: Which of the axes are, so that all cells read one place.
    """
    if geometry.linear:
        return [tuple((place,) for place in range(size)) for size in sizes]
    reads: list[Reads] = [tuple((place,) for place in range(sizes[0]))]
    options = zip(geometry.shape[2:], geometry.stride, geometry.padding, geometry.dilation, strict=True)
    of_axis = _transposed_reads if geometry.transposed else window_reads
    for size, made, fold, (kernel, stride, padding, dilation) in zip(
        sizes[1:], outputs[1:], folded[1:], options, strict=True
    ):
        reads.append(((0,) * kernel,) if fold else of_axis(size, made, kernel, stride, padding, dilation))
    return reads


@lru_cache(maxsize=1024)
def reading(axis: Axis, reads: Reads) -> tuple[Axis, Reads]:
    """The axis that reads another, and what each of its classes reads: classes, -1 for none.

    Args:
        axis: Of the input.
        reads: Of each place of the output.
    """
    rows = [tuple(axis.classes[place] if place >= 0 else -1 for place in row) for row in reads]
    made = Axis.of(rows)
    return made, tuple(rows[place] for place in made.firsts)


@lru_cache(maxsize=1024)
def common(left: Axis, right: Axis) -> tuple[Axis, Reads, Reads]:
    """The classes that two axes of one size have together, and which class of either each of them is in."""
    pairs = list(zip(left.classes, right.classes, strict=True))
    made = Axis.of(pairs)
    firsts = [pairs[place] for place in made.firsts]
    return made, tuple((one,) for one, _ in firsts), tuple((other,) for _, other in firsts)


def table(reads: Sequence[Reads], numbers: Sequence[int]) -> Tensor:
    """What each place reads, all axes together: (places, cells) of numbers of places, row by row.

    Args:
        reads: Of each axis.
        numbers: Of each axis of the input, how many places it has; what is beyond all of them stands for none.
    """
    return _table(tuple(map(tuple, reads)), tuple(numbers))


@lru_cache(maxsize=256)
def _table(reads: tuple[Reads, ...], numbers: tuple[int, ...]) -> Tensor:
    """See `table`; not to be written to."""
    found, none = torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1, dtype=torch.bool)
    total = 1
    for rows, number in zip(reads, numbers, strict=True):
        here = torch.tensor(rows, dtype=torch.long).reshape(len(rows), -1)
        found = found[:, None, :, None] * number + here[None, :, None, :]
        none = none[:, None, :, None] | (here < 0)[None, :, None, :]
        sizes = found.shape
        found = found.reshape(sizes[0] * sizes[1], -1)
        none = none.reshape(sizes[0] * sizes[1], -1)
        total *= number
    return found.masked_fill(none, total)
