"""Machine profiles: TOML files, each value with its source."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kactors.engine.errors import UsageError
from protocols.machine import Machine

FOLDER = resources.files(__name__)


@cache
def machine_names() -> tuple[str, ...]:
    """Return the names of the built-in profiles."""
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in FOLDER.iterdir() if entry.name.endswith(".toml")))


def load_machine(name: str, *, cpus: int | None = None, costs: Mapping[str, int] | None = None) -> Machine:
    """Return a profile by name, or from a user's TOML file.

    Args:
        name: a built-in name, or a path that ends in .toml.
        cpus: replaces the number of CPUs; the topology repeats.
        costs: values to replace, by name.

    Raises:
        UsageError: no such profile, key or value; the message names it.
    """
    values = {key: entry["value"] for key, entry in _read(name).items()} | {"name": Path(name).stem} | dict(costs or {})
    if cpus is not None:
        values["cpus"] = cpus
    try:
        return Machine.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"machine {name}: {_first_problem(error)}") from None


def sources(name: str) -> dict[str, tuple[Any, str]]:
    """Return (value, source) of every parameter of a profile, in the file's order."""
    return {key: (entry["value"], entry["source"]) for key, entry in _read(name).items()}


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Machine.model_fields, n=1)
        return f"there is no parameter {key}" + (f"; did you mean {near[0]}?" if near else "")
    return f"{key} = {first.get('input')!r}: {first['msg']}"


@cache
def _read(name: str) -> dict[str, dict[str, Any]]:
    source = Path(name) if name.endswith(".toml") else FOLDER.joinpath(f"{name}.toml")
    if not source.is_file():
        raise UsageError(f"--machine {name}: no such machine; there are {', '.join(machine_names())}, and FILE.toml")
    try:
        entries = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"machine {name}: not TOML: {error}") from None
    for key, entry in entries.items():
        if not (isinstance(entry, dict) and entry.keys() == {"value", "source"}):
            raise UsageError(f"machine {name}: {key} must be a table with value and source")
    return entries
