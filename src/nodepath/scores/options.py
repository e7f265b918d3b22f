"""What options of scores have in common: numbers in a range, one of a few words."""

import math
from numbers import Real

from nodepath.errors import ArgumentError

__all__ = ["check_choice", "check_positive", "check_whole"]


def check_positive(method: str, option: str, value: object, usual: str) -> None:
    """A finite number above 0.

    Raises:
        ArgumentError: It is none.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < math.inf:
        raise ArgumentError(f"{option} is {value!r}; {method} needs a finite number above 0 (paper: {usual})")


def check_whole(method: str, option: str, value: object, usual: str) -> None:
    """A whole number, at least 1.

    Raises:
        ArgumentError: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"{option} is {value!r}; {method} needs a whole number >= 1 (paper: {usual})")


def check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    """One of a few words.

    Raises:
        ArgumentError: It is none of them.
    """
    if value not in choices:
        raise ArgumentError(f"{option} is {value!r}; choose one of {', '.join(choices)}")
