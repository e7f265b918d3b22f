"""Controls: what a mask is compared with."""

from nodepath.controls.reinitialize import reinitialize
from nodepath.controls.shuffle import shuffle

__all__ = ["reinitialize", "shuffle"]
