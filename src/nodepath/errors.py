"""Every error and warning that nodepath raises on purpose.

One root, `NodepathError`; each error is also of the built-in kind that fits it, so that
`except ValueError` works for those who do not know us. A message is one line: what, where,
which value, and the way out.
"""

__all__ = [
    "ArgumentError",
    "BudgetError",
    "BudgetWarning",
    "CollapseError",
    "CollapseWarning",
    "DataError",
    "ExpansionWarning",
    "InputMismatchError",
    "MaskFileError",
    "MaskMismatchError",
    "MissingExtraError",
    "NoPathError",
    "NodepathError",
    "NonFiniteError",
    "NothingPrunableError",
    "RunError",
    "ScoreBatchWarning",
    "TransformedWeightError",
    "UnknownNameError",
    "UnknownOperationError",
    "WeightsError",
    "WriteError",
    "ZeroLayerWarning",
]


class NodepathError(Exception):
    """Root of all errors that nodepath raises on purpose."""


class ArgumentError(NodepathError, ValueError):
    """An option has a value that makes no sense."""


class UnknownNameError(NodepathError, LookupError):
    """A name that no registry entry, model or file carries."""


class MissingExtraError(NodepathError, ImportError):
    """A feature needs an optional dependency that is not installed."""


class DataError(NodepathError, ValueError):
    """A data set cannot be read, or does not fit what it is used for."""


class InputMismatchError(NodepathError, ValueError):
    """The model cannot run on the example input."""


class NothingPrunableError(NodepathError, ValueError):
    """The model's forward pass uses no Linear or convolution weight."""


class TransformedWeightError(NodepathError, ValueError):
    """A layer computes its weight from its parameter, so zeros would not survive."""


class NoPathError(NodepathError, ValueError):
    """No output of a model depends on its input."""


class UnknownOperationError(NodepathError, NotImplementedError):
    """An operation whose effect on paths nobody has declared."""


class NonFiniteError(NodepathError, ValueError):
    """A weight, a score or a loss is NaN or infinite."""


class MaskMismatchError(NodepathError, ValueError):
    """A mask does not fit the model, or two mask sets do not fit each other."""


class MaskFileError(NodepathError, ValueError):
    """A mask file is damaged or was not written by nodepath."""


class WeightsError(NodepathError, ValueError):
    """A file of weights cannot be read, or is of another model."""


class WriteError(NodepathError, OSError):
    """The system refuses to write a page or a figure."""


class BudgetError(NodepathError, ValueError):
    """The number of weights asked for cannot be kept."""


class CollapseError(NodepathError, RuntimeError):
    """Pruning left the network without a path, or emptied a layer that paths need."""


class RunError(NodepathError, ValueError):
    """A run's directory cannot be used: damaged, unfinished, or already finished."""


class CollapseWarning(UserWarning):
    """A mask empties a layer or cuts every path, and `on_collapse` allows it."""


class ScoreBatchWarning(UserWarning):
    """A class has fewer images than the score batch would take of each."""


class BudgetWarning(UserWarning):
    """A fixed part of a budget yielded so that the total fits."""


class ExpansionWarning(UserWarning):
    """A random graph misses the bound of the expanders, however often it is drawn."""


class ZeroLayerWarning(UserWarning):
    """All weights of a layer are zero, so that scores of flow would be."""
