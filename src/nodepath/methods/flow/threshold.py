"""Find the weights of least share, of several layers in one piece of memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Lowest", "Numbers", "Pieces", "Places"]

_PIECE = 1 << 16
"""So many numbers are looked at at once: they stay in the caches between one look and the next."""

_SAMPLE = 1 << 10, 1 << 14
"""So large samples are at least and at most."""

Numbers = NDArray[np.floating]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """The memory of several layers that lie side by side, in pieces of one layer each.

    Attributes:
        names: Of the layers.
        parts: Of the memory, counted from the first of the layers.
        layers: Of each piece, the number of its layer.
        spans: Parts of the memory that are looked at at once, and which pieces each of them is made of.
        bounds: Where pieces begin, and the last one ends (pieces + 1,).
    """

    names: tuple[str, ...]
    parts: tuple[slice, ...]
    layers: NDArray[np.intp]
    spans: tuple[tuple[slice, slice], ...]
    bounds: Places

    @classmethod
    def of(cls, sizes: dict[str, int]) -> "Pieces":
        """Those of some layers.

        Args:
            sizes: Name -> number of weights, in order.
        """
        parts: list[slice] = []
        layers: list[int] = []
        spans: list[tuple[slice, slice]] = []
        start = 0
        for number, size in enumerate(sizes.values()):
            for at in range(start, start + size, _PIECE):
                parts.append(slice(at, min(at + _PIECE, start + size)))
                layers.append(number)
                span, pieces = spans[-1] if spans else (slice(0, 0), slice(0, 0))
                if spans and parts[-1].stop - span.start <= _PIECE:
                    spans[-1] = slice(span.start, parts[-1].stop), slice(pieces.start, len(parts))
                else:
                    spans.append((parts[-1], slice(len(parts) - 1, len(parts))))
            start += size
        bounds = np.array([part.start for part in parts] + [start], dtype=np.int64)
        return cls(tuple(sizes), tuple(parts), np.array(layers, dtype=np.intp), tuple(spans), bounds)

    def by_layer(self, numbers: NDArray[np.int64]) -> dict[str, int]:
        """Sums of one number a piece: name -> sum."""
        found = np.bincount(self.layers, numbers, len(self.names)).astype(np.int64)
        return dict(zip(self.names, found.tolist(), strict=True))


@dataclass(frozen=True)
class Lowest:
    """What is to be dropped of some layers so that so many weights are left.

    Attributes:
        pieces: Of the layers.
        threshold: The least share that is kept; 0 if fewer carry any than are to be kept, so that none is dropped.
        below: All shares that are not above this go.
        places: Of the other weights to be dropped, in order, counted from the first of the layers.
        left: Of each piece, how many weights stay.
    """

    pieces: Pieces
    threshold: float
    below: float
    places: Places
    left: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        shares: Numbers,
        pieces: Pieces,
        keep: int,
        unsure: float,
        in_order: Callable[[Places, float], NDArray[np.intp]],
    ) -> "Lowest":
        """Look for them.

        A sample tells two shares that the threshold lies between, with all but certainty; what does so too is looked at
        closely, and if the sample was wrong, everything is.

        Args:
            shares: Of all weights of the layers.
            pieces: Of the layers.
            keep: How many are kept.
            unsure: By what part of itself a share may be wrong.
            in_order: Given places whose shares are as close to the threshold as that, and the threshold, in which order
                they are dropped.

        Cost: four comparisons a weight.
        """
        size = len(shares)
        sample = shares[:: max(1, size // min(max(_SAMPLE[0], size >> 5), _SAMPLE[1]))]
        tried, sample = len(sample), sample[sample > 0]
        if size > 2 * tried and len(sample) > 64:
            carry = sum(np.count_nonzero(shares[span] > 0) for span, _ in pieces.spans)
            lowest = max(0.0, 1 - keep / carry)
            margin = 5 * (max(lowest, 0.01) / len(sample)) ** 0.5 + 0.003
            first, last = (int((lowest + each) * len(sample)) for each in (-margin, margin))
            first, last = max(first, 0), min(last, len(sample) - 1)
            sample = np.partition(sample, (first, last))
            between = (float(sample[first]) if first else 0.0, float(sample[last]))
            found = cls._between(shares, pieces, keep, between, unsure, in_order)
            if found is not None:
                return found
        found = cls._between(shares, pieces, keep, (0.0, np.inf), unsure, in_order)
        assert found is not None
        return found

    @classmethod
    def _between(
        cls,
        shares: Numbers,
        pieces: Pieces,
        keep: int,
        between: tuple[float, float],
        unsure: float,
        in_order: Callable[[Places, float], NDArray[np.intp]],
    ) -> "Lowest | None":
        """Those of a threshold that lies between two shares; None if it does not."""
        below, above = between
        near: list[Places] = [np.empty(0, dtype=np.int64)]
        found, highs = [shares[:0]], []
        for span, inside in pieces.spans:
            piece = shares[span]
            more = piece > below
            parts = pieces.parts[inside]
            highs += [np.count_nonzero(more[part.start - span.start : part.stop - span.start]) for part in parts]
            more &= piece <= above
            close = more.nonzero()[0]
            found.append(piece.take(close))
            near.append(close + span.start)
        high = np.array(highs, dtype=np.int64)
        drop = int(high.sum()) - keep
        if drop < 0:
            return None if below else cls(pieces, 0.0, 0.0, near[0], high)
        if keep <= 0:
            return cls(pieces, np.inf, np.inf, near[0], np.zeros_like(high))
        places, values = np.concatenate(near), np.concatenate(found)
        if drop >= len(places):
            return None
        threshold = float(np.partition(values, drop)[drop])
        least, most = threshold * (1 - unsure), threshold * (1 + unsure)
        if not below < least <= most <= above:
            return None
        lower = values < least
        close = np.flatnonzero((values >= least) & (values <= most))
        first = in_order(places[close], threshold) if len(close) > 1 else np.zeros(1, dtype=np.intp)
        lower[close[first[: drop - int(np.count_nonzero(lower))]]] = True
        places = places[lower]
        until = np.searchsorted(places, pieces.bounds)
        left: NDArray[np.int64] = high - (until[1:] - until[:-1])
        return cls(pieces, threshold, below, places, left)

    def drop(self, held: Tensor, shares: Tensor, before: NDArray[np.int64] | None) -> None:
        """Drop them, and what carries nothing.

        Args:
            held: Weights of the layers, which become 0.
            shares: Of all of them.
            before: What was `left` of the step before, if the memory is the same.
        """
        if held.device.type != "cpu":
            held.mul_(shares > self.below)
            held[torch.from_numpy(self.places).to(held.device)] = 0
            return
        numbers, compared = held.numpy(), shares.numpy()  # numpy multiplies by bools several times as fast
        some = np.ones(len(self.left), dtype=bool) if before is None else before != self.left
        for span, inside in self.pieces.spans:
            if some[inside].any():
                np.multiply(numbers[span], compared[span] > self.below, out=numbers[span])
        numbers[self.places] = 0
