"""Any object as str, int, bool, None, lists and dicts, cut where it is deep or long, and told where it was cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from enum import Enum
from itertools import islice
from typing import Any

from pydantic import BaseModel

from kactors.engine.actor import Actor
from kactors.engine.event import describe, show
from protocols.base import Message

DEPTH_MAX = 6
ITEMS_MAX = 32
TEXT_MAX = 200
PARTS_MAX = 2_000
"""Values in one view."""
CUT = "..."
EVENT_PARTS = 5
INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1

PLUMBING = frozenset({"engine", "directory", "machine", "mm", "allocator", "name", "id", "role", "spent"})
"""Attributes that are the same in all actors, that lead to other actors, or that a view tells in its own words."""


class Plain:
    """Turns one object into plain data; each instance makes one view of bounded size."""

    def __init__(self) -> None:
        self._parts_left = PARTS_MAX
        self._inside: set[int] = set()

    def attributes(self, thing: object, depth: int = 0) -> dict[str, Any]:
        """Return an object's attributes by name, without plumbing and what can be called."""
        fields = [
            (name.lstrip("_"), value)
            for name, value in _attributes(thing)
            if name.lstrip("_") not in PLUMBING and not callable(value)
        ]
        return {name: self.value(value, depth) for name, value in fields if not _is_handlers(value)}

    def value(self, value: object, depth: int = 0) -> Any:
        """Return a value as plain data."""
        self._parts_left -= 1
        if isinstance(value, Enum):
            return value.name.lower()
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if INT_MIN <= value <= INT_MAX else _cut(hex(value))
        if isinstance(value, Actor):
            return value.name
        words = _in_words(value)
        return self._compound(value, depth) if words is None else _cut(words)

    def _compound(self, value: object, depth: int) -> Any:
        if depth >= DEPTH_MAX or self._parts_left <= 0 or id(value) in self._inside:
            return CUT
        self._inside.add(id(value))
        try:
            if isinstance(value, BaseModel):
                value = dict(value)
            if isinstance(value, Mapping):
                return self._mapping(value, depth + 1)
            if isinstance(value, frozenset | set):
                value = sorted(value, key=repr)
            if isinstance(value, list | tuple | deque):
                return self._list(value, len(value), depth + 1)
            return self.attributes(value, depth + 1)
        finally:
            self._inside.discard(id(value))

    def _list(self, values: Iterable[object], length: int, depth: int) -> list[Any]:
        told = [self.value(value, depth) for value in islice(values, ITEMS_MAX)]
        return [*told, _more(length - ITEMS_MAX)] if length > ITEMS_MAX else told

    def _mapping(self, values: Mapping[Any, object], depth: int) -> dict[str, Any]:
        first = islice(values.items(), ITEMS_MAX)
        told = {_key(key): self.value(value, depth) for key, value in first}
        if len(values) > ITEMS_MAX:
            told[CUT] = _more(len(values) - ITEMS_MAX)
        return told


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    for cls in reversed(type(thing).__mro__):
        for name in getattr(cls, "__slots__", ()):
            if hasattr(thing, name) and not name.startswith("__"):
                yield name, getattr(thing, name)
    yield from getattr(thing, "__dict__", {}).items()


def _is_handlers(value: object) -> bool:
    return isinstance(value, Mapping) and any(callable(part) for part in islice(value.values(), 1))


def _in_words(value: object) -> str | None:
    """Return what is told as one text; None for what has parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, Message):
        return show(value)
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    if isinstance(value, Coroutine):
        return "under way"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, tuple) and len(value) == EVENT_PARTS and isinstance(value[-1], Message):
        return describe(value)
    return None


def _key(key: object) -> str:
    if isinstance(key, Enum):
        return key.name.lower()
    return _cut(key if isinstance(key, str) else repr(key))


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}{CUT} ({len(text) - TEXT_MAX} more)"


def _more(count: int) -> str:
    return f"{CUT} {count} more"
