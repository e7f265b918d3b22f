"""Which columns of a Parquet file hold images and labels, and what its classes are called."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodepath.data.formats import ReadOptions
from nodepath.errors import DataError

__all__ = ["Columns", "find_columns"]


@dataclass(frozen=True)
class Columns:
    """Names of the two columns; class names of the label column, None where the file does not know them."""

    image: str
    label: str
    classes: tuple[str, ...] | None


def find_columns(schema: Any, file: Path, options: ReadOptions) -> Columns:
    """Find both columns by type; where several fit, by what Hugging Face's metadata says, or the user.

    Args:
        schema: A `pyarrow.Schema`.
        file: For messages.
        options: `label_column` and `image_column` of the user's.

    Raises:
        DataError: No column fits, several do, or the one asked for does not; names the candidates.
    """
    features = _features(schema, file)
    image = options.image_column
    if image is None:
        image = _only_one("image", _images(schema), _of_kind(features, "Image"), schema, file)
    # A plain binary column is no candidate beside a struct, but the user may still mean it.
    elif image not in _images(schema) + _binaries(schema):
        raise DataError(f"{file}: image_column='{image}' is not a column of images; its columns: {_list(schema)}")
    label = options.label_column
    if label is None:
        label = _only_one("label", _integers(schema), _of_kind(features, "ClassLabel"), schema, file)
    elif label not in _integers(schema):
        raise DataError(
            f"{file}: label_column='{label}' is not a column of whole numbers; its columns: {_list(schema)}"
        )
    names = features.get(label, {}).get("names")
    return Columns(image, label, tuple(map(str, names)) if isinstance(names, list) and names else None)


def _list(schema: Any) -> str:
    return ", ".join(f"'{field.name}' ({field.type})" for field in schema)


def _only_one(role: str, fitting: list[str], declared: list[str], schema: Any, file: Path) -> str:
    candidates = [name for name in fitting if name in declared] or fitting
    if not candidates:
        kind = {"image": "a struct with bytes, or binary", "label": "whole numbers"}[role]
        raise DataError(f"{file} has no {role} column ({kind}), only {_list(schema)}; write one into it")
    if len(candidates) > 1:
        listed = ", ".join(f"'{name}'" for name in candidates)
        raise DataError(f"{file}: several columns may be the {role} ({listed}); choose one with {role}_column=")
    return candidates[0]


def _features(schema: Any, file: Path) -> dict[str, dict[str, Any]]:
    """Column -> what the `datasets` library wrote of it under the schema's key `huggingface`."""
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return {}
    try:
        content = json.loads(text)
        features = content["info"]["features"] if "info" in content else content["features"]
        return {name: kind for name, kind in features.items() if isinstance(kind, dict)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file}: the schema's 'huggingface' metadata cannot be understood ({error!r}); write it again with the "
            "datasets library, or without this metadata"
        ) from error


def _of_kind(features: dict[str, dict[str, Any]], kind: str) -> list[str]:
    return [name for name, feature in features.items() if feature.get("_type") == kind]


def _integers(schema: Any) -> list[str]:
    import pyarrow as pa

    return [field.name for field in schema if pa.types.is_integer(field.type)]


def _is_binary(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _binaries(schema: Any) -> list[str]:
    return [field.name for field in schema if _is_binary(field.type)]


def _images(schema: Any) -> list[str]:
    """Structs with a binary field `bytes`; plain binary columns only where there is no such struct."""
    import pyarrow as pa

    structs = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type) and any(part.name == "bytes" and _is_binary(part.type) for part in field.type)
    ]
    return structs or _binaries(schema)
