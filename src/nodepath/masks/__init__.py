"""Masks: which weights stay, as a value; holding them through training, files, other people's forms."""

from nodepath.masks.adapters import from_pt, from_torch_prune, to_torch_prune_
from nodepath.masks.count import count_true
from nodepath.masks.entry import LayerCount
from nodepath.masks.mask_set import MaskSet, borrowed
from nodepath.masks.match import match_parameters, unwrap
from nodepath.masks.metadata import JSON
from nodepath.masks.overlap import Overlap

__all__ = [
    "JSON",
    "LayerCount",
    "MaskSet",
    "Overlap",
    "borrowed",
    "count_true",
    "from_pt",
    "from_torch_prune",
    "match_parameters",
    "to_torch_prune_",
    "unwrap",
]
