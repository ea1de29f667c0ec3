"""The files that profiles are made of: TOML, one entry a parameter, each with where its value comes from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from kactors.engine.errors import UsageError
from kactors.machines.entry import Entries, read_entry
from kactors.machines.generic import PREFIX, generic_topology
from kactors.toml_file import read_toml

FOLDER = resources.files("kactors.machines")
BASES = FOLDER.joinpath("bases")
INHERITS = "inherits"
GENERIC = "generic"
"""The base whose costs every ``generic:N`` has."""


def file_names(folder: Traversable) -> tuple[str, ...]:
    """Return the names of the TOML files in a folder, sorted."""
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def read_entries(name: str, heirs: tuple[str, ...] = ()) -> Entries:
    """Return the entries of a machine, base or file of a user's own, with all that it inherits.

    Args:
        name: one of ours, ``generic:N``, or a path that ends in .toml.
        heirs: the files that are being read already, since they inherit from this one.

    Raises:
        UsageError: no such file, it is no TOML, an entry is wrong, or the inheritance is a circle.
    """
    if _place(name) in map(_place, heirs):
        raise UsageError(f"machine {heirs[0]}: what it inherits is a circle: {' -> '.join((*heirs, name))}")
    if name.startswith(PREFIX):
        topology = _topology(name, heirs)
        return read_entries(GENERIC, (*heirs, name)) | topology
    found = _find(name)
    if found is None and not heirs:
        raise UsageError(f"--machine {name}: {_why_no_file(name)}")
    if found is None:
        raise UsageError(f"machine {heirs[-1] if heirs else name}: there is no machine, base or file {name} to inherit")
    table = _read_table(name, found)
    entries: Entries = {}
    for parent in _parents(name, table.pop(INHERITS, [])):
        entries |= read_entries(parent, (*heirs, name))
    own = {key: read_entry(name, key, given) for key, given in table.items()}
    return entries | {key: entry.instead_of(entries.get(key)) for key, entry in own.items()}


def _topology(name: str, heirs: tuple[str, ...]) -> Entries:
    try:
        return generic_topology(name)
    except ValueError as error:
        who = f"machine {heirs[-1]}: inherits {name}" if heirs else f"--machine {name}"
        raise UsageError(f"{who}: {error}") from None


def _find(name: str) -> Traversable | None:
    if name.endswith(".toml"):
        places: Iterable[Traversable] = (Path(name),)
    else:
        places = (folder.joinpath(f"{name}.toml") for folder in (FOLDER, BASES))
    return next((place for place in places if place.is_file()), None)


def _why_no_file(name: str) -> str:
    if Path(name).is_dir():
        return "is a folder; name a TOML file"
    if Path(name).exists():
        return "is no plain file"
    return f"there is no file {name}" if Path(name).parent.is_dir() else f"there is no folder {Path(name).parent}"


def _place(name: str) -> str:
    """Return a name that a file has under whatever path it is named."""
    return os.path.realpath(name) if name.endswith(".toml") else name


def _read_table(name: str, found: Traversable) -> dict[str, Any]:
    try:
        return read_toml(found)
    except ValueError as error:
        raise UsageError(f"machine {name}: not TOML: {error}") from None
    except OSError as error:
        raise UsageError(f"machine {name}: cannot be read: {error.strerror}") from None


def _parents(name: str, inherits: Any) -> list[str]:
    """Return whom a file inherits from, the first one first; a path is relative to the file that has it."""
    words = [inherits] if isinstance(inherits, str) else inherits
    if not (isinstance(words, list) and all(isinstance(word, str) and word for word in words)):
        raise UsageError(f"machine {name}: inherits must be a name or a list of names, like ['kernel-4.16', 'x86']")
    return [str(Path(name).parent / word) if word.endswith(".toml") else word for word in words]
