"""One parameter of a profile: its value, and where that comes from."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Any

from kactors.engine.errors import UsageError
from protocols.machine import Machine

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
        outside: the file whose span it lies outside of, and that span, where a file replaces a value and gives none.
    """

    value: int | str
    origin: str
    why: str
    file: str
    span: Span | None = None
    fits: Span | None = None
    span_source: str = ""
    outside: tuple[str, Span] | None = None

    def instead_of(self, inherited: Entry | None) -> Entry:
        """Return the entry as what takes an inherited one's place: another machine's value, or a slip of its unit."""
        if self.span is not None or inherited is None or inherited.span is None or not isinstance(self.value, int):
            return self
        low, high = inherited.span
        return self if low <= self.value <= high else replace(self, outside=(inherited.file, inherited.span))

    @property
    def told(self) -> str:
        """Where the value comes from, in one line."""
        if self.fits is not None:
            return f"fitted {self.why}; {self.fits[0]} to {self.fits[1]} fits as well"
        return f"assumed: {self.why}" if self.origin == "assumed" else self.why


Entries = dict[str, Entry]


def read_entry(file: str, key: str, given: Any) -> Entry:
    """Return the entry that a table of a TOML file makes.

    Args:
        file: the machine, base or path that has it.
        key: its name.
        given: the table, or whatever else stands there.

    Raises:
        UsageError: it is no entry; the message names file and key.
    """
    if key == "name":
        raise UsageError(f"machine {file}: there is no parameter name: a machine is named after its file")
    if key not in Machine.model_fields:
        shown = key if key.isidentifier() else repr(key)
        near = difflib.get_close_matches(key, Machine.model_fields, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; kactors profile small shows all that there are"
        raise UsageError(f"machine {file}: there is no parameter {shown}{hint}")
    try:
        return _checked(given, file)
    except ValueError as error:
        raise UsageError(f"machine {file}: {key} {error}") from None


def _checked(given: Any, file: str) -> Entry:
    if not (isinstance(given, dict) and "value" in given):
        raise ValueError('must be a table with value and source, like { value = 500, source = "measured" }')
    if unknown := sorted(given.keys() - FIELDS):
        raise ValueError(f"has a field {unknown[0]!r}, which means nothing; there are {', '.join(sorted(FIELDS))}")
    origin = _origin(given)
    value, span, fits = given["value"], _span(given, "range"), _span(given, "fits")
    if (span is None or fits is None) if origin == "fitted" else fits is not None:
        raise ValueError("has fits and range if it is fitted: which other values fit, and which are possible at all")
    for limits, what in ((span, "its range"), (fits, "what fits")):
        if limits is not None and not (type(value) is int and limits[0] <= value <= limits[1]):
            raise ValueError(f"= {value} lies outside {what}, {limits[0]} to {limits[1]}")
    if span is not None and fits is not None and not (span[0] <= fits[0] and fits[1] <= span[1]):
        raise ValueError(f"has fits {list(fits)} outside its range, {span[0]} to {span[1]}")
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
