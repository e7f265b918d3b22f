"""Scores: one saliency a file. Every module of this folder is imported, so a new file joins by itself."""

from importlib import import_module
from pkgutil import iter_modules

from nodepath.scores.batch import Batch, Loss
from nodepath.scores.registry import SCORES, Score
from nodepath.scores.subject import Subject, batch_norm_mode

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)

__all__ = ["SCORES", "Batch", "Loss", "Score", "Subject", "batch_norm_mode"]
