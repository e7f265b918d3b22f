"""A table from names to classes, open to third parties by entry points."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from nodepath.errors import ArgumentError, UnknownNameError

__all__ = ["Registry", "nearest"]

_SHOWN = 40
"""Names in one message."""

E = TypeVar("E")
T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """The tail of an error message: the closest known name if one is close, then all of them (of many the first)."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{hint}known: {', '.join(names[:_SHOWN]) or 'none'}{rest}"


class Registry(Generic[T]):
    """Names and what they stand for; a name is taken once.

    Args:
        kind: What an entry is, for messages, e.g. `"method"`.
        group: Entry-point group through which installed packages join, e.g. `"nodepath.methods"`.
            Loaded at the first look-up that needs it.
    """

    def __init__(self, kind: str, group: str | None = None) -> None:
        self.kind = kind
        self._group = group
        self._entries: dict[str, T] = {}
        self._beside: tuple[Registry[Any], ...] = ()

    def share_names(self, *others: "Registry[Any]") -> None:
        """From now on a name that one of these tables has is taken in all of them."""
        tables = (self, *others)
        for table in tables:
            table._beside = tuple(other for other in tables if other is not table)

    def register(self, name: str) -> Callable[[E], E]:
        """Decorator: file what follows under `name`.

        Raises:
            ArgumentError: The name is taken, here or in a table that shares its names.
        """

        def file(entry: E) -> E:
            if name in self._entries:
                raise ArgumentError(f"{self.kind} '{name}' is registered twice; choose another name")
            for other in self._beside:
                if name in other._entries:
                    raise ArgumentError(f"{self.kind} '{name}' has the name of a {other.kind}; choose another name")
            self._entries[name] = entry  # type: ignore[assignment]  # the decorator keeps the entry's own type
            return entry

        return file

    def _load_entry_points(self) -> None:
        if self._group is None:
            return
        group, self._group = self._group, None
        for point in entry_points(group=group):
            self.register(point.name)(point.load())

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load_entry_points()
        return sorted(self._entries)

    def __getitem__(self, name: str) -> T:
        """The entry of that name.

        Raises:
            UnknownNameError: No such name; lists the known ones and the nearest.
        """
        if name not in self._entries:
            self._load_entry_points()
        if name not in self._entries:
            raise UnknownNameError(f"unknown {self.kind} '{name}'; {nearest(name, self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._load_entry_points()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())
