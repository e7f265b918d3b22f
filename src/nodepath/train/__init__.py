"""Train a network: the recipe, the loop, checkpoints."""

from nodepath.train.checkpoint import Checkpoint
from nodepath.train.epoch import EpochRecord
from nodepath.train.evaluate import evaluate
from nodepath.train.fit import fit
from nodepath.train.preparation import Preparation
from nodepath.train.recipe import Recipe
from nodepath.train.schedule import learning_rate
from nodepath.train.settings import Settings

__all__ = [
    "Checkpoint",
    "EpochRecord",
    "Preparation",
    "Recipe",
    "Settings",
    "evaluate",
    "fit",
    "learning_rate",
]
