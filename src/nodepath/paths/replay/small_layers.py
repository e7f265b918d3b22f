"""What layers do that are so small that a call costs more than the product: numpy's take half as long as torch's."""

import numpy as np

from nodepath.paths.replay.dense_layers import DenseLayer, slopes_of_matrix
from nodepath.paths.replay.ends import Ends, Move, SlopesAt, bring

__all__ = ["is_small", "times_small_matrix", "times_small_vector"]

_SMALL, _SMALL_VECTOR = 1 << 18, (9 << 10) - 1
"""Products with a matrix, and with a vector; for so many at most, OpenBLAS starts no threads, which would compete with
those of torch."""


def is_small(ends: Ends, layer: DenseLayer) -> bool:
    """Whether a layer is, and can do with numpy: a matrix on the CPU in the type of counts."""
    made, matrix = ends.made[0], layer.matrix
    products, most = len(made) * layer.rows * layer.columns, _SMALL if len(made) > 1 else _SMALL_VECTOR
    return products <= most and len(matrix) == 1 and matrix.device.type == "cpu" and matrix.dtype == made.dtype


def times_small_vector(ends: Ends, layer: DenseLayer) -> tuple[Move, Move, SlopesAt]:
    """One place, which reads itself: a matrix times a vector."""
    (made, back), factors, adds, fresh = ends.made, ends.factors, ends.adds[0], layer.fresh
    matrix = layer.edges()[0].numpy()
    read, slope, leaving, coming_back = (each.numpy()[0] for each in (*ends.reads[0], made, back))
    taken = None if layer.touch is None else layer.touch[0].view(layer.rows, layer.columns).numpy()

    def forward() -> None:
        np.dot(matrix, read, out=leaving)
        if factors[0] != 1.0:
            np.multiply(leaving, factors[0], out=leaving)

    def backward() -> None:
        coming = coming_back if factors[0] == 1.0 else coming_back * factors[0]
        if taken is not None and fresh:
            np.multiply(coming[:, np.newaxis], read, out=taken)
        elif taken is not None:
            np.add(taken, np.multiply(coming[:, np.newaxis], read), out=taken)
        if adds:
            np.add(slope, np.dot(coming, matrix), out=slope)
        else:
            np.dot(coming, matrix, out=slope)

    return forward, backward, slopes_of_matrix(ends, layer)


def times_small_matrix(ends: Ends, layer: DenseLayer) -> tuple[Move, Move, SlopesAt]:
    """The same as `times_matrix`."""
    (padded, padded_slope), (made, back) = ends.padded[0], ends.made
    factors, adds, fresh, index = ends.factors, ends.adds[0], layer.fresh, layer.index
    matrix = layer.edges()[0].numpy()
    source, leaving, coming_back, slope = (each.numpy() for each in (padded, made, back, ends.reads[0][1]))
    gathered, arriving = layer.gathered.numpy(), layer.arriving.numpy()
    read, found = (each.reshape(len(leaving), -1) for each in (gathered, arriving if index is not None else slope))
    places = None if index is None else index.numpy()
    taken = None if layer.touch is None else layer.touch[0].view(layer.rows, layer.columns).numpy()
    turned = matrix.T

    def forward() -> None:
        if places is not None:
            source.take(places, 0, out=gathered, mode="clip")  # which does not look twice
        np.matmul(read, turned, out=leaving)
        if factors[0] != 1.0:
            np.multiply(leaving, factors[0], out=leaving)

    def backward() -> None:
        coming = coming_back if factors[0] == 1.0 else coming_back * factors[0]
        if taken is not None:
            if places is not None:
                source.take(places, 0, out=gathered, mode="clip")
            if fresh:
                np.matmul(coming.T, read, out=taken)
            else:
                np.add(taken, np.matmul(coming.T, read), out=taken)
        if adds and index is None:
            np.add(slope, np.matmul(coming, matrix), out=slope)
        else:
            np.matmul(coming, matrix, out=found)
        if index is not None:
            bring(padded_slope, index, layer.arriving, adds)

    return forward, backward, slopes_of_matrix(ends, layer)
