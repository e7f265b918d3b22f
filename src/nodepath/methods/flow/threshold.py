"""Drop the weights of least share, of several layers in one piece of memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nodepath.paths.replay.edges import Edges
from nodepath.paths.replay.sweep import Sweep

__all__ = ["Lowest", "Pieces"]

_PIECE = 1 << 16
"""So many numbers are looked at at once: they stay in the caches between one look and the next."""

_SAMPLE = 1 << 14

_UNSURE = 4
"""So many units in the last place a share may be wrong, times the root of the number of places that it is summed over;
roundings would have to conspire for more."""

_AT_ONCE = 1 << 12

Numbers = NDArray[np.floating]


@dataclass(frozen=True)
class Pieces:
    """The memory of several layers that lie side by side, in pieces of one layer each.

    Attributes:
        names: Of the layers.
        parts: Of the memory, counted from the first of the layers.
        layers: Of each piece, the number of its layer.
    """

    names: tuple[str, ...]
    parts: tuple[slice, ...]
    layers: NDArray[np.intp]

    @classmethod
    def of(cls, edges: Edges, names: Sequence[str]) -> "Pieces":
        """Those of some layers."""
        first, parts, layers = edges.blocks[names[0]].start, [], []
        for number, name in enumerate(names):
            start, size = edges.blocks[name].start - first, edges.blocks[name].size
            parts += [slice(at, min(at + _PIECE, start + size)) for at in range(start, start + size, _PIECE)]
            layers += [number] * -(-size // _PIECE)
        return cls(tuple(names), tuple(parts), np.array(layers, dtype=np.intp))

    def by_layer(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sums of one number a piece (layers,)."""
        found = np.zeros(len(self.names), dtype=np.int64)
        np.add.at(found, self.layers, numbers)
        return found


@dataclass(frozen=True)
class Lowest:
    """What is to be dropped of some layers so that so many weights are left.

    Attributes:
        edges: Weights and shares.
        pieces: Of the layers, which lie side by side.
        threshold: The least share that is kept; 0 if fewer carry any than are to be kept, so that none is dropped.
        below: All shares that are not above this go.
        places: Of the other weights to be dropped, in order, counted from the first of the layers.
        carry: Of each piece, how many weights have a positive share.
        left: Of each piece, how many of these stay.
    """

    edges: Edges
    pieces: Pieces
    threshold: float
    below: float
    places: NDArray[np.int64]
    carry: NDArray[np.int64]
    left: NDArray[np.int64]

    @classmethod
    def of(cls, sweep: Sweep, pieces: Pieces, keep: int) -> "Lowest":
        """Look for them.

        A sample tells two shares that the threshold lies between, with all but certainty; what does so too is looked at
        closely, and if the sample was wrong, everything is. Shares that their type cannot tell from the threshold are
        computed anew; of those that are equal to 12 digits, the first in the order of layers and positions stay.

        Args:
            sweep: After a run.
            pieces: Of the layers.
            keep: How many are kept.

        Cost: three comparisons a weight.
        """
        shares = _shares(sweep.edges, pieces.names)
        sample = shares[:: max(1, len(shares) // _SAMPLE)]
        tried, sample = len(sample), sample[sample > 0]
        if len(shares) > 2 * _SAMPLE and len(sample) > 64:
            lowest = max(0.0, 1 - keep * tried / (len(sample) * len(shares)))
            margin = 5 * (max(lowest, 0.01) / len(sample)) ** 0.5 + 0.003
            first, last = (int((lowest + each) * len(sample)) for each in (-margin, margin))
            first, last = max(first, 0), min(last, len(sample) - 1)
            sample = np.partition(sample, (first, last))
            found = cls._between(sweep, pieces, keep, float(sample[first]) if first else 0.0, float(sample[last]))
            if found is not None:
                return found
        found = cls._between(sweep, pieces, keep, 0.0, np.inf)
        assert found is not None
        return found

    @classmethod
    def _between(cls, sweep: Sweep, pieces: Pieces, keep: int, below: float, above: float) -> "Lowest | None":
        """Those of a threshold that lies between two shares; None if it does not."""
        shares = _shares(sweep.edges, pieces.names)
        carries, highs, near, found = [], [], [np.empty(0, dtype=np.int64)], [shares[:0]]
        for part in pieces.parts:
            piece = shares[part]
            more = piece > below
            highs.append(np.count_nonzero(more))
            carries.append(np.count_nonzero(piece > 0) if below else highs[-1])
            more &= piece <= above
            close = more.nonzero()[0]
            found.append(piece.take(close))
            near.append(close + part.start)
        carry, high = (np.array(each, dtype=np.int64) for each in (carries, highs))
        drop = int(high.sum()) - keep
        if int(carry.sum()) < keep:
            return cls(sweep.edges, pieces, 0.0, 0.0, near[0], carry, carry)
        if keep <= 0:
            return cls(sweep.edges, pieces, np.inf, np.inf, near[0], carry, np.zeros_like(carry))
        places, values = np.concatenate(near), np.concatenate(found)
        if not 0 <= drop < len(places):
            return None
        threshold = float(np.partition(values, drop)[drop])
        unsure = _UNSURE * sweep.most_places**0.5 * float(np.finfo(values.dtype).eps) * threshold
        if not below < threshold - unsure <= threshold + unsure <= above:
            return None
        lower = values < threshold - unsure
        close = np.flatnonzero((values >= threshold - unsure) & (values <= threshold + unsure))
        first = _in_order(sweep, pieces.names, places[close], threshold)
        lower[close[first[: drop - int(np.count_nonzero(lower))]]] = True
        places = places[lower]
        starts = np.searchsorted(places, [part.start for part in pieces.parts])
        left: NDArray[np.int64] = high - np.diff(starts, append=len(places))
        return cls(sweep.edges, pieces, threshold, below, places, carry, left)

    def cut_off(self, alive: NDArray[np.int64] | None) -> list[str]:
        """Names of the layers that carry nothing, though weights are left.

        Args:
            alive: See `drop`.
        """
        silent = [name for name, number in zip(self.names, self.pieces.by_layer(self.carry), strict=True) if not number]
        if alive is None:
            return [name for name in silent if bool(self.edges.blocks[name].view(self.edges.held).any())]
        left = dict(zip(self.names, self.pieces.by_layer(alive), strict=True))
        return [name for name in silent if left[name]]

    def drop(self, alive: NDArray[np.int64] | None) -> None:
        """Drop them, and what carries nothing.

        Args:
            alive: What was `left` of the step before, if the memory is the same.
        """
        edges, shares = self.edges, _shares(self.edges, self.names)
        start = edges.blocks[self.names[0]].start
        held = edges.held[start : start + len(shares)]
        if held.device.type == "cpu":  # numpy multiplies by bools several times as fast
            numbers: Numbers = held.numpy()
            some = np.ones(len(self.left), dtype=bool) if alive is None else alive != self.left
            for piece in np.flatnonzero(some).tolist():
                part = self.pieces.parts[piece]
                np.multiply(numbers[part], shares[part] > self.below, out=numbers[part])
            numbers[self.places] = 0
        else:
            held.mul_(edges.shares[start : start + len(shares)] > self.below)
            held[torch.from_numpy(self.places).to(held.device)] = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Of the layers."""
        return self.pieces.names


def _shares(edges: Edges, names: Sequence[str]) -> Numbers:
    first, last = edges.blocks[names[0]], edges.blocks[names[-1]]
    found: Numbers = edges.shares[first.start : last.start + last.size].cpu().numpy()
    return found


def _in_order(sweep: Sweep, names: Sequence[str], places: NDArray[np.int64], threshold: float) -> NDArray[np.intp]:
    """The order in which weights whose shares are close to a threshold are dropped."""
    if len(places) == 1:
        return np.zeros(1, dtype=np.intp)
    blocks = [sweep.edges.blocks[name] for name in names]
    starts = np.array([block.start - blocks[0].start for block in blocks])
    layers = np.searchsorted(starts, places, side="right") - 1
    exact, positions = np.empty(len(places)), np.empty(len(places), dtype=np.int64)
    for layer in np.unique(layers):
        for own in np.split(own_all := np.flatnonzero(layers == layer), range(_AT_ONCE, len(own_all), _AT_ONCE)):
            inside = torch.from_numpy(places[own] - starts[layer])
            positions[own] = blocks[layer].positions(inside).numpy()
            exact[own] = sweep.exact(names[layer], inside.to(sweep.memory.device)).cpu().numpy()
    return np.lexsort((-positions, -layers, np.round(exact / threshold, 12)))
