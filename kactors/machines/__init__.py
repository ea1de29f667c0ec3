"""Machine profiles: TOML files, each value with its source; a file holds only what differs from what it inherits."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from kactors.engine.errors import UsageError
from kactors.expected import should_be, shown
from kactors.machines import page_size
from kactors.machines.contradictions import contradictions
from kactors.machines.entry import Entries, Entry
from kactors.machines.generic import PREFIX
from kactors.machines.profile_file import BASES, FOLDER, file_names, read_entries
from protocols.machine import Machine
from protocols.scenario import OptionValue

__all__ = ["Entries", "Entry", "load_machine", "machine_names", "profile", "sources"]


@cache
def machine_names() -> tuple[str, ...]:
    """Return the names of the built-in profiles."""
    return file_names(FOLDER)


def load_machine(name: str, *, cpus: int | None = None, costs: Mapping[str, OptionValue] | None = None) -> Machine:
    """Return a profile by name, or from a user's TOML file.

    Args:
        name: a built-in name, ``generic:N``, or a path that ends in .toml.
        cpus: replaces the number of CPUs; the topology repeats.
        costs: values to replace, by name; what follows from another page size follows (``page_size.following``).

    Raises:
        UsageError: no such profile, key or value; the message names it.
    """
    entries = _entries(name)
    own = {key: entry.value for key, entry in entries.items()}
    wanted = dict(costs or {})
    if "name" in wanted:
        raise UsageError(f"machine {name}: there is no parameter name: a machine is named after its file")
    values = {**own, "name": Path(name).stem, **page_size.following(own, wanted), **wanted}
    if cpus is not None:
        values["cpus"] = cpus
    try:
        machine = Machine.model_validate(values)
    except ValidationError as error:
        raise UsageError(_first_problem(name, entries, wanted, error)) from None
    replaced = {*wanted, *({"cpus"} if cpus is not None or _follows_from_n(entries) else ())}
    for contradiction in contradictions(machine, replaced):
        raise UsageError(f"machine {name}: {contradiction}")
    return machine


def profile(name: str) -> Entries:
    """Return every entry of a profile, in the order of ``Machine``'s fields.

    Raises:
        UsageError: as ``load_machine``.
    """
    load_machine(name)
    entries = _entries(name)
    return {key: entries[key] for key in Machine.model_fields if key in entries}


def sources(name: str) -> dict[str, tuple[int | str, str]]:
    """Return (value, where it comes from) of every parameter of a profile, in the order of ``Machine``'s fields."""
    return {key: (entry.value, entry.told) for key, entry in profile(name).items()}


def _follows_from_n(entries: Entries) -> bool:
    """Any number of CPUs is a ``generic:N``: the last core, cache and socket need not be full."""
    return "cpus" in entries and entries["cpus"].file.startswith(PREFIX)


def _first_problem(name: str, entries: Entries, wanted: Mapping[str, OptionValue], error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Machine.model_fields, n=1)
        hint = f"did you mean {near[0]}?" if near else f"kactors profile {name} shows all that there are"
        return f"machine {name}: there is no parameter {key}; {hint}"
    if first["type"] == "missing":
        return f"machine {name}: {key} has no value, neither here nor in what it inherits"
    if key in wanted:
        where = f"machine {name}: machine.{key}"
    else:
        where = f"machine {entries[key].file if key in entries else name}: {key}"
    return f"{where} = {shown(first.get('input'))}: {should_be(Machine, first)}"


def _entries(name: str) -> Entries:
    if name.endswith(".toml"):
        return read_entries(name)
    return _own_entries(name)


@cache
def _own_entries(name: str) -> Entries:
    if name not in machine_names() and not name.startswith(PREFIX):
        raise _no_such(name)
    return read_entries(name)


def _no_such(name: str) -> UsageError:
    if name in file_names(BASES):
        return UsageError(f"--machine {name}: {name} is no machine, but what machines inherit from")
    return UsageError(
        f"--machine {name}: no such machine; there are {', '.join(machine_names())}, {PREFIX}N, and FILE.toml"
    )
