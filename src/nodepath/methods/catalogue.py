"""What is known of each method: one entry a name, read off its class."""

import re
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Literal

from nodepath.budgets import BUDGETS
from nodepath.errors import ArgumentError
from nodepath.methods.registry import describe, entry_of, names, needs_batch
from nodepath.reference import Reference
from nodepath.scores import SCORES

__all__ = ["Entry", "catalogue", "cite", "entry"]


@dataclass(frozen=True)
class Entry:
    """One method.

    Attributes:
        name: Under which it is filed.
        kind: "score": its best weights are kept; "budget": random cells at its layer counts; else "method".
        summary: What it does, one sentence.
        needs_data: Whether it does, with its defaults.
        cost: What it costs, one sentence.
        options: Name -> default, as Python writes it.
        reference: Where it comes from; None: from here.
    """

    name: str
    kind: Literal["score", "budget", "method"]
    summary: str
    needs_data: bool
    cost: str
    options: dict[str, str]
    reference: Reference | None

    @property
    def year(self) -> int | None:
        """When it was published; None: not yet."""
        return self.reference.year if self.reference else None


def entry(name: str) -> Entry:
    """What is known of a method.

    Raises:
        UnknownNameError: No such method; lists the known ones and the nearest.
    """
    filed = entry_of(name)
    reference = getattr(filed, "reference", None)
    cost = _cost(filed.__doc__ or "")
    return Entry(
        name,
        "score" if name in SCORES else "budget" if name in BUDGETS else "method",
        describe(name),
        needs_batch(name),
        cost or ("a draw a weight." if name in BUDGETS else ""),
        _options(filed),
        reference if isinstance(reference, Reference) else None,
    )


def catalogue() -> list[Entry]:
    """All methods, by name."""
    return [entry(name) for name in names()]


def cite(name: str) -> str:
    """The BibTeX entry of a method's paper.

    Raises:
        UnknownNameError: No such method.
        ArgumentError: It has no paper.
    """
    reference = entry(name).reference
    if reference is None:
        raise ArgumentError(f"method '{name}' has no paper to cite; name nodepath and its version")
    return reference.bibtex()


def _cost(text: str) -> str:
    """The sentences that a docstring has after "Cost:", up to what it says about data."""
    found = re.search(r"^\s*Cost: (.+?)(?=\s*Needs\s+data:|\n\s*\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def _options(filed: object) -> dict[str, str]:
    if not is_dataclass(filed):
        return {}
    return {
        field.name: "" if field.default is MISSING else repr(field.default) for field in fields(filed) if field.init
    }
