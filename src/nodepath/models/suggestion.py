"""The part of an error message that guesses what was meant, where listing every known name would drown it."""

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"did you mean a or b? "` with at most three known names, nearest first; empty where none is near."""
    close = difflib.get_close_matches(name, sorted(known), n=3)
    return f"did you mean {' or '.join(close)}? " if close else ""
