"""Networks by name: the papers' zoo, torchvision's, timm's, or anybody's own factory."""

from nodepath.models.create import create, describe, names
from nodepath.models.spec import ModelSpec
from nodepath.models.weights import load_weights_

__all__ = ["ModelSpec", "create", "describe", "load_weights_", "names"]
