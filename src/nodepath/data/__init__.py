"""Data sets in memory: read them, normalise and augment whole batches, draw the score batch."""

from nodepath.data.augment import prepare, random_crop, random_flip, resize, to_channels
from nodepath.data.dataset import Dataset, Split
from nodepath.data.formats import FORMATS, DataFormat, ReadOptions
from nodepath.data.loading import load, names
from nodepath.data.score_batch import score_batch

__all__ = [
    "FORMATS",
    "DataFormat",
    "Dataset",
    "ReadOptions",
    "Split",
    "load",
    "names",
    "prepare",
    "random_crop",
    "random_flip",
    "resize",
    "score_batch",
    "to_channels",
]
