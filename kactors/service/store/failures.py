"""What SQLite's errors mean for whoever runs the service, and what to do about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

_PRIMARY = 0xFF
"""The part of an extended result code that tells its family."""

_MEANINGS: Mapping[int, str] = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space, then try again",
    sqlite3.SQLITE_BUSY: "another program has locked the file; end it, then try again",
    sqlite3.SQLITE_LOCKED: "another program has locked the file; end it, then try again",
    sqlite3.SQLITE_IOERR: "the disk failed, or the file may not grow; see dmesg and ulimit -f, then try again",
    sqlite3.SQLITE_READONLY: "the file or its folder cannot be written; mend the permissions, then try again",
    sqlite3.SQLITE_CANTOPEN: "the file or its folder cannot be opened; mend the permissions, then try again",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; put a copy in its place or name another file",
    sqlite3.SQLITE_NOTADB: "the file is damaged or no SQLite database; put a copy in its place or name another file",
}


def explain(error: sqlite3.Error) -> str:
    """Return one line: what is wrong, what SQLite says of it, what to do."""
    said = " ".join(str(error).split())
    code: int | None = getattr(error, "sqlite_errorcode", None)
    meaning = None if code is None else _MEANINGS.get(code & _PRIMARY)
    return said if meaning is None else f"{meaning} (SQLite: {said})"
