"""Controls: what a mask is compared with."""

from nodepath.controls.erk_random import erk_random
from nodepath.controls.invert import invert
from nodepath.controls.reinitialize import reinitialize
from nodepath.controls.shuffle import shuffle

__all__ = ["erk_random", "invert", "reinitialize", "shuffle"]
