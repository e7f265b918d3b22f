"""Budgets: how many weights each layer keeps.

Every module of this folder is imported, so a new file joins by itself.
"""

from importlib import import_module
from pkgutil import iter_modules

from nodepath.budgets.allocate import apportion, rescale
from nodepath.budgets.erk import Erk
from nodepath.budgets.registry import BUDGETS, Budget
from nodepath.budgets.uniform import Uniform

__all__ = ["BUDGETS", "Budget", "Erk", "Uniform", "apportion", "rescale"]

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)
