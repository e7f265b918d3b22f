"""Methods: what turns a model into a `MaskSet`, one a file.

Every module of this folder is imported, so a new file joins by itself.
"""

from importlib import import_module
from pkgutil import iter_modules

from nodepath.methods.catalogue import Entry, catalogue, cite, entry
from nodepath.methods.even.frontier import Frontier, FrontierPoint, frontier
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.prune import prune
from nodepath.methods.registry import METHODS, Method, create, describe, names, needs_batch

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)

__all__ = [
    "METHODS",
    "Choice",
    "Entry",
    "Frontier",
    "FrontierPoint",
    "Method",
    "Problem",
    "catalogue",
    "cite",
    "create",
    "describe",
    "entry",
    "frontier",
    "names",
    "needs_batch",
    "prune",
]
