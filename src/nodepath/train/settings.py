"""What all settings share: frozen, strict, and one line of complaint."""

import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from nodepath.errors import ArgumentError
from nodepath.registry import nearest

__all__ = ["Settings"]


class Settings(BaseModel):
    """A frozen value whose fields are checked: no unknown field, no other type, no NaN or infinity.

    Raises:
        ArgumentError: When constructed: a field is unknown, missing, of another type or out of range; one line
            that names each of them with its value.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),  # a field may be called `model`
    )

    if not TYPE_CHECKING:  # type checkers derive the signature from the fields

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise ArgumentError(_one_line(type(self), error)) from None


def _one_line(kind: type[Settings], error: ValidationError) -> str:
    complaints = (_complaint(entry, kind.model_fields) for entry in error.errors(include_url=False))
    return f"{'; '.join(complaints)} (in {kind.__name__}); correct it, or leave it out"


def _complaint(entry: Any, fields: Iterable[str]) -> str:
    place = ".".join(map(str, entry["loc"]))
    cause = entry.get("ctx", {}).get("error")
    if isinstance(cause, ArgumentError):  # raised by a validator of ours, complete by itself
        return str(cause)
    if entry["type"] == "extra_forbidden":
        return f"unknown field '{place}'; {nearest(place, fields)}"
    if entry["type"] == "missing":
        return f"field '{place}' is missing; give it a value"
    message = entry["msg"].removeprefix("Input ")
    return f"{place}={reprlib.repr(entry['input'])} {message}"
