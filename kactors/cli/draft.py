"""A scenario in the making: a file, overridden by options, each value with the words by which to blame it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from kactors.engine.errors import UsageError
from kactors.expected import should_be
from kactors.toml_file import read_toml
from protocols.scenario import Scenario

Place = tuple[str, ...]

SETTINGS = {"bounds": "bounds", "khugepaged": "khugepaged", "machine": "costs", "policy": "policy_options"}
"""What a dotted --set key may begin with, and the part of the scenario that it means."""

OWNERS = {"options": "a workload's", "policy_options": "a policy's", "costs": "a machine's"}


class Draft:
    """Values by their place in the scenario. A later ``put`` wins."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._blame: dict[Place, str] = {}

    def put(self, place: Place, value: Any, blame: str) -> None:
        """Set a value.

        Args:
            place: its keys, outermost first.
            value: what the scenario will hold.
            blame: how an error names it: ``--cpus 0``.
        """
        values = self._values
        for key in place[:-1]:
            inner = values.setdefault(key, {})
            if not isinstance(inner, dict):
                raise UsageError(f"{self._blame[(key,)]}: {key} should be a table")
            values = inner
        values[place[-1]] = value
        self._blame[place] = blame

    def put_file(self, path: Path) -> None:
        """Take every value of a TOML file.

        Raises:
            UsageError: it cannot be read, or is no TOML.
        """
        try:
            values = read_toml(path)
        except OSError as error:
            raise UsageError(f"--scenario {path}: {error.strerror}") from error
        except ValueError as error:
            raise UsageError(f"{path}: not TOML: {error}") from error
        for key, value in values.items():
            if isinstance(value, dict):
                self.put((key,), {}, f"{path}: [{key}]")
                for inner, inner_value in value.items():
                    self.put((key, inner), inner_value, f"{path}: {key}.{inner} = {_shown(inner_value)}")
            else:
                self.put((key,), value, f"{path}: {key} = {_shown(value)}")

    def put_setting(self, setting: str) -> None:
        """Take a ``--set key=value``.

        Raises:
            UsageError: it has no =, or its key begins with an unknown word.
        """
        key, equals, text = setting.partition("=")
        blame = f"--set {setting}"
        if not (equals and key.strip()):
            raise UsageError(f"{blame}: write key=value, as in --set t=4 or --set bounds.spf_inflight_max=1")
        head, dot, rest = key.strip().partition(".")
        if not dot:
            self.put(("options", head), _value(text), blame)
        elif head in SETTINGS:
            value = None if text == "none" and head == "bounds" else _value(text)
            self.put((SETTINGS[head], rest), value, blame)
        else:
            raise UsageError(f"{blame}: nothing begins with {head}.{instead(head, SETTINGS)}")

    def blame(self, place: Place) -> str:
        """Return the words for a place, or for the innermost part of it that has some."""
        for length in range(len(place), 0, -1):
            if place[:length] in self._blame:
                return self._blame[place[:length]]
        return ".".join(place)

    def scenario(self) -> Scenario:
        """Return the scenario.

        Raises:
            UsageError: an unknown key or a wrong value, with where it came from and what would be right.
        """
        try:
            # As strict JSON: a "4" or a true is no number, and yet an enum may be given as text.
            return Scenario.model_validate_json(json.dumps(self._values), strict=True)
        except ValidationError as error:
            raise UsageError(self._explain(error)) from None
        except TypeError as error:
            raise UsageError(self._explain_type()) from error

    def _explain(self, error: ValidationError) -> str:
        first = error.errors()[0]
        place = tuple(str(part) for part in first["loc"])
        blame = self.blame(place)
        if first["type"] == "extra_forbidden":
            *outer, key = place
            return f"{blame}: there is no key {key}{instead(key, _keys(outer))}"
        if place[0] in OWNERS and len(place) > 1:
            return f"{blame}: {OWNERS[place[0]]} option should be true, false, a whole number or text"
        return f"{blame}: {should_be(Scenario, first)}"

    def _explain_type(self) -> str:
        """Find the value that JSON has no form for: TOML's dates and times."""
        blames = (blame for place, blame in self._blame.items() if not _has_json(self._at(place)))
        return f"{next(blames, 'scenario')}: a date or time is no value here"

    def _at(self, place: Place) -> Any:
        value: Any = self._values
        for key in place:
            value = value[key]
        return value


def instead(name: str, known: Iterable[str], shown: Iterable[str] | None = None) -> str:
    """Return what would be right in a name's place: the one that is near, and those that there are.

    Args:
        name: the unknown name.
        known: what may be meant by it.
        shown: what is listed; by default all that is known.
    """
    known = list(known)
    there = ", ".join(known if shown is None else shown)
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}? There are {there}" if near else f"; there are {there}"


def _value(text: str) -> bool | int | str:
    """Return true and false as booleans, whole numbers as numbers, all else as it stands."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        return text


def _keys(outer: Iterable[str]) -> Mapping[str, Any]:
    model: type[BaseModel] = Scenario
    for key in outer:
        model = type(getattr(model(), key))
    return model.model_fields


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)


def _has_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True
