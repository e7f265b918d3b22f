"""nodepath: prune a network before training it, see the paths and nodes that are left, train it.

masks = nodepath.prune(model, x, method="npb", sparsity=0.99)
topo = nodepath.measure(model, x, masks)
with masks.hold(model, optimizer):
    ...  # your own training loop
"""

from importlib.metadata import version

from nodepath import controls, data, errors, methods, models, paths
from nodepath.masks import MaskSet
from nodepath.methods import Frontier, frontier, prune
from nodepath.paths import Topology, effective, measure

__version__ = version("nodepath")

__all__ = [
    "Frontier",
    "MaskSet",
    "Topology",
    "controls",
    "data",
    "effective",
    "errors",
    "frontier",
    "measure",
    "methods",
    "models",
    "paths",
    "prune",
]
