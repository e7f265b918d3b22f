"""What options of methods and scores have in common: numbers in a range, one of a few words."""

import math
from numbers import Real

from nodepath.errors import ArgumentError

__all__ = ["check_choice", "check_flag", "check_positive", "check_share", "check_whole", "is_number"]


def is_number(value: object) -> bool:
    """Whether a value is a real number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_positive(method: str, option: str, value: object, usual: str) -> None:
    """A finite number above 0.

    Args:
        method: Whose option it is.
        option: Its name.
        value: What was passed.
        usual: The way out, e.g. "paper: 0.5".

    Raises:
        ArgumentError: It is none.
    """
    if not is_number(value) or not 0 < float(value) < math.inf:  # type: ignore[arg-type]
        raise ArgumentError(f"{option} is {value!r}; {method} needs a finite number above 0 ({usual})")


def check_share(method: str, option: str, value: object, usual: str) -> None:
    """A number from 0 to 1. See `check_positive`.

    Raises:
        ArgumentError: It is none.
    """
    if not is_number(value) or not 0 <= float(value) <= 1:  # type: ignore[arg-type]
        raise ArgumentError(f"{option} is {value!r}; {method} needs a number from 0 to 1 ({usual})")


def check_whole(method: str, option: str, value: object, usual: str, least: int = 1) -> None:
    """A whole number that is large enough. See `check_positive`.

    Raises:
        ArgumentError: It is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"{option} is {value!r}; {method} needs a whole number >= {least} ({usual})")


def check_choice(option: str, value: object, choices: tuple[str, ...]) -> None:
    """One of a few words.

    Raises:
        ArgumentError: It is none of them.
    """
    if value not in choices:
        raise ArgumentError(f"{option} is {value!r}; choose one of {', '.join(choices)}")


def check_flag(option: str, value: object) -> None:
    """True or False.

    Raises:
        ArgumentError: It is neither.
    """
    if not isinstance(value, bool):
        raise ArgumentError(f"{option} is {value!r}; choose True or False")
