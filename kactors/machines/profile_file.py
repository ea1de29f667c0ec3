"""The files that profiles are made of: TOML, one entry a parameter, each with where its value comes from."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from kactors.engine.errors import UsageError

FOLDER = resources.files("kactors.machines")
BASES = FOLDER.joinpath("bases")
INHERITS = "inherits"
ORIGINS = ("source", "assumed", "fitted")
FIELDS = frozenset({"value", "range", "fits", *ORIGINS})
Span = tuple[int, int]


@dataclass(frozen=True)
class Entry:
    """One parameter's value.

    Attributes:
        value: in the unit that its name ends in.
        origin: ``source``, ``assumed`` or ``fitted``.
        why: the source; why it is assumed; to what it was fitted.
        file: the machine or base whose file gives it.
        span: the values that its source allows, both ends included.
        fits: of a fitted value: the others that fit as well.
        span_source: of a fitted value: where its span comes from.
    """

    value: int | str
    origin: str
    why: str
    file: str
    span: Span | None = None
    fits: Span | None = None
    span_source: str = ""

    @property
    def told(self) -> str:
        """Where the value comes from, in one line."""
        if self.fits is not None:
            return f"fitted {self.why}; {self.fits[0]} to {self.fits[1]} fits as well"
        return f"assumed: {self.why}" if self.origin == "assumed" else self.why


Entries = dict[str, Entry]


def file_names(folder: Traversable) -> tuple[str, ...]:
    """Return the names of the TOML files in a folder, sorted."""
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def read_entries(name: str, heirs: tuple[str, ...] = ()) -> Entries:
    """Return the entries of a machine, base or file of a user's own, with all that it inherits.

    Args:
        name: one of ours, or a path that ends in .toml.
        heirs: the files that are being read already, since they inherit from this one.

    Raises:
        UsageError: no such file, it is no TOML, an entry is wrong, or the inheritance is a circle.
    """
    if _place(name) in map(_place, heirs):
        raise UsageError(f"machine {heirs[0]}: what it inherits is a circle: {' -> '.join((*heirs, name))}")
    found = _find(name)
    if found is None:
        raise UsageError(f"machine {heirs[-1] if heirs else name}: there is no machine, base or file {name} to inherit")
    table = _read_table(name, found)
    entries: Entries = {}
    for parent in _parents(name, table.pop(INHERITS, [])):
        entries |= read_entries(parent, (*heirs, name))
    return entries | {key: _entry(name, key, given) for key, given in table.items()}


def _find(name: str) -> Traversable | None:
    if name.endswith(".toml"):
        places: Iterable[Traversable] = (Path(name),)
    else:
        places = (folder.joinpath(f"{name}.toml") for folder in (FOLDER, BASES))
    return next((place for place in places if place.is_file()), None)


def _place(name: str) -> str:
    """Return a name that a file has under whatever path it is named."""
    return str(Path(name).resolve()) if name.endswith(".toml") else name


def _read_table(name: str, found: Traversable) -> dict[str, Any]:
    try:
        return tomllib.loads(found.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"machine {name}: not TOML: {error}") from None
    except OSError as error:
        raise UsageError(f"machine {name}: cannot be read: {error.strerror}") from None


def _parents(name: str, inherits: Any) -> list[str]:
    """Return whom a file inherits from, the first one first; a path is relative to the file that has it."""
    words = [inherits] if isinstance(inherits, str) else inherits
    if not (isinstance(words, list) and all(isinstance(word, str) and word for word in words)):
        raise UsageError(f"machine {name}: inherits must be a name or a list of names, like ['kernel-4.16', 'x86']")
    return [str(Path(name).parent / word) if word.endswith(".toml") else word for word in words]


def _entry(name: str, key: str, given: Any) -> Entry:
    if not key.isidentifier():
        raise UsageError(f"machine {name}: there is no parameter {key!r}")
    try:
        return _checked(given, name)
    except ValueError as error:
        raise UsageError(f"machine {name}: {key} {error}") from None


def _checked(given: Any, file: str) -> Entry:
    if not (isinstance(given, dict) and "value" in given):
        raise ValueError("must be a table with value and source")
    if unknown := sorted(given.keys() - FIELDS):
        raise ValueError(f"has a field {unknown[0]!r}, which means nothing; there are {', '.join(sorted(FIELDS))}")
    origin = _origin(given)
    value, span, fits = given["value"], _span(given, "range"), _span(given, "fits")
    if (span is None or fits is None) if origin == "fitted" else fits is not None:
        raise ValueError("has fits and range if it is fitted: which other values fit, and which are possible at all")
    for limits, what in ((span, "its range"), (fits, "what fits")):
        if limits is not None and not (type(value) is int and limits[0] <= value <= limits[1]):
            raise ValueError(f"= {value} lies outside {what}, {limits[0]} to {limits[1]}")
    span_source = given.get("source", "") if origin == "fitted" else ""
    return Entry(value, origin, given[origin], file, span, fits, span_source)


def _origin(given: dict[str, Any]) -> str:
    """Return which of the three tells where the value comes from; a fitted one may have a source for its range."""
    origins = [origin for origin in ORIGINS if origin in given]
    if len(origins) != 1 and origins != ["source", "fitted"]:
        raise ValueError(
            "must be a table with value and source: just one of source, assumed and fitted tells its origin"
        )
    for origin in origins:
        if not (isinstance(given[origin], str) and given[origin].strip()):
            raise ValueError(f"must say in words what its {origin} is")
    return origins[-1]


def _span(given: dict[str, Any], field: str) -> Span | None:
    limits = given.get(field)
    if limits is None:
        return None
    if not (isinstance(limits, list) and [type(limit) for limit in limits] == [int, int] and limits[0] <= limits[1]):
        raise ValueError(f"has a {field} that is not [low, high], two whole numbers")
    return limits[0], limits[1]
