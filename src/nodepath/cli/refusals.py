"""What a comparison of methods leaves out, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nodepath.errors import ArgumentError, NodepathError

__all__ = ["Refusal", "refusal_sentences"]


@dataclass(frozen=True)
class Refusal:
    """A method that does not take the model, the sparsity or an option.

    Attributes:
        method: Its name.
        sparsity: The fraction that it was to remove.
        error: What it raised.
    """

    method: str
    sparsity: float
    error: NodepathError

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"method": self.method, "sparsity": self.sparsity, "reason": str(self.error)}

    def after(self, written: str) -> ArgumentError:
        """The same error where other masks were made before it, and `written` says to which files."""
        return ArgumentError(
            f"method '{self.method}' at {100 * self.sparsity:g} %: {self.error}; "
            f"the masks made before it are written to {written}"
        )


def refusal_sentences(refusals: Sequence[Refusal]) -> list[str]:
    """One a method and reason, with all the sparsities at which it was given."""
    levels: dict[tuple[str, str], list[str]] = {}
    for refusal in refusals:
        levels.setdefault((refusal.method, str(refusal.error)), []).append(f"{100 * refusal.sparsity:g} %")
    return [f"refused: {method} at {', '.join(at)}: {reason}" for (method, reason), at in levels.items()]
