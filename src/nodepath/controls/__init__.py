"""Controls: what a mask is compared with."""

from nodepath.controls.shuffle import shuffle

__all__ = ["shuffle"]
