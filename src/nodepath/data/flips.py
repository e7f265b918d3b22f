"""Whether mirroring an image left to right leaves it in its class."""

import re
from collections.abc import Sequence

__all__ = ["flip_keeps_class"]

_NUMBER_WORDS = "zero|one|two|three|four|five|six|seven|eight|nine|ten"
_SIGN = re.compile(
    rf"""\s*(
        .?                                                        # a single character
      | (class|label|category|digit|number|letter|c)?[\s_\-#]*\d+ # a number, or only a numbered class
      | (\d+[\s_\-:]+)?({_NUMBER_WORDS})                          # a number word, as in "0 - zero"
      | (digit|number|letter|character)[\s_\-:]+\w+               # "letter_a"
    )\s*""",
    re.IGNORECASE | re.VERBOSE,
)


def flip_keeps_class(channels: int, classes: Sequence[str]) -> bool:
    """Whether horizontal flips are a safe augmentation: colour images of things, not of written signs.

    Args:
        channels: 1 or 3.
        classes: Class names. A name that is a number or a single character stands for a written sign, or
            for a class of which nothing is known; one such name is enough for False.

    Returns:
        True only where the images are colour and every class name names something else than a sign.
    """
    return channels == 3 and not any(_SIGN.fullmatch(name) for name in classes)
