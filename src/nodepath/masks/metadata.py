"""What a mask set tells about its origin, as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from nodepath.errors import ArgumentError

__all__ = ["JSON", "to_text"]

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"


def to_text(metadata: Mapping[str, JSON]) -> str:
    """Metadata as one line of JSON with sorted keys, the form in which it is kept and saved.

    Raises:
        ArgumentError: A value is not JSON (or is NaN or infinite, which JSON does not know); names the key.
    """
    for key, value in metadata.items():
        if not isinstance(key, str):
            raise ArgumentError(f"metadata key {key!r} is a {type(key).__name__}; use a string")
        try:
            json.dumps(value, allow_nan=False, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"metadata '{key}' is not JSON ({error}); use plain numbers, strings, lists, dicts"
            ) from (error)
    return json.dumps(dict(metadata), allow_nan=False, sort_keys=True)
