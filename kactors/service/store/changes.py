"""Each change as SQL. All of it runs inside a transaction that the store begins and ends."""

from __future__ import annotations

import json
import sqlite3
import zlib
from typing import Any, assert_never

from kactors.service.store import searches
from kactors.service.store.records import CheckpointRecord, SessionRecord
from kactors.service.store.searches import DeleteSearch, EndSearch, StartSearch
from kactors.service.store.writes import (
    AddCheckpoint,
    Advance,
    AppendEntry,
    Create,
    Delete,
    SaveResult,
    TruncateLog,
    Write,
)
from protocols.service.commands import Entry
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.sessions import State
from protocols.stop import AnyStop

DEFLATE_BYTES = 4096
"""A result that is longer is stored deflated."""


def make(db: sqlite3.Connection, write: Write) -> None:
    """Make one change.

    Raises:
        ServiceError: it does not fit what is stored: no such session, or not the next place of the log.
        sqlite3.Error: SQLite refuses it.
        ValueError: a text or a number cannot be stored.
    """
    match write:
        case Create(record):
            _create(db, record)
        case Advance():
            _advance(db, write)
        case AppendEntry(session, place, entry):
            _append(db, session, place, entry)
        case TruncateLog(session, length):
            _truncate(db, session, length)
        case AddCheckpoint(session, name, checkpoint):
            _add_checkpoint(db, session, name, checkpoint)
        case SaveResult(session, result):
            _save_result(db, session, result)
        case Delete(session):
            _need(db.execute("DELETE FROM session WHERE session = ?", (session,)), session)
        case StartSearch(new):
            searches.start(db, new)
        case EndSearch(ended, result):
            searches.end(db, ended, result)
        case DeleteSearch(search):
            searches.delete(db, search)
        case _:
            assert_never(write)


def _create(db: sqlite3.Connection, record: SessionRecord) -> None:
    position = record.position
    row = {
        "session": record.session,
        "client": record.client,
        "key": record.key,
        "request": _json(record.request),
        "scenario": record.scenario.model_dump_json(),
        "build": record.build,
        "created_at": record.created_at,
        "state": record.state.value,
        "sequence": record.sequence,
        "events": position.events,
        "now_ns": position.now_ns,
        "fingerprint": position.fingerprint,
        "goal_ns": record.goal_ns,
        "goal_events": record.goal_events,
        "stop": _stop(record.stop),
        "error": _json(record.error),
        "wall_ns": record.wall_ns,
        "forked_from": record.forked_from,
    }
    places = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO session ({', '.join(row)}) VALUES ({places})", tuple(row.values()))
    for place, entry in enumerate(record.log):
        _append(db, record.session, place, entry)
    for name, checkpoint in record.checkpoints.items():
        _add_checkpoint(db, record.session, name, checkpoint)


def _advance(db: sqlite3.Connection, write: Advance) -> None:
    position = write.position
    changed = db.execute(
        "UPDATE session SET sequence = ?, events = ?, now_ns = ?, fingerprint = ?, state = ?, goal_ns = ?,"
        " goal_events = ?, stop = ?, error = ?, wall_ns = ? WHERE session = ?",
        (
            write.sequence,
            position.events,
            position.now_ns,
            position.fingerprint,
            write.state.value,
            write.goal_ns,
            write.goal_events,
            _stop(write.stop),
            _json(write.error),
            write.wall_ns,
            write.session,
        ),
    )
    _need(changed, write.session)
    if write.state is not State.ENDED:
        # It went back: its next end is another one.
        db.execute("DELETE FROM result WHERE session = ?", (write.session,))


def _append(db: sqlite3.Connection, session: str, place: int, entry: Entry) -> None:
    (length,) = db.execute("SELECT coalesce(max(place), -1) + 1 FROM entry WHERE session = ?", (session,)).fetchone()
    if place != length:
        _need_session(db, session)
        message = f"the log of {session} has {length} commands in the store, so that place {place} is not its next"
        raise ServiceError(ErrorCode.INTERNAL, message)
    # Keys of SetBound that were not given mean something else than keys that are null.
    text = entry.model_dump_json(exclude_unset=True)
    db.execute("INSERT INTO entry (session, place, entry) VALUES (?, ?, ?)", (session, place, text))


def _truncate(db: sqlite3.Connection, session: str, length: int) -> None:
    _need_session(db, session)
    db.execute("DELETE FROM entry WHERE session = ? AND place >= ?", (session, length))
    # Not by position: at one position there may be several commands, of which some are forgotten.
    db.execute("DELETE FROM checkpoint WHERE session = ? AND log_length > ?", (session, length))


def _add_checkpoint(db: sqlite3.Connection, session: str, name: str, checkpoint: CheckpointRecord) -> None:
    at = checkpoint.position
    db.execute(
        "INSERT INTO checkpoint (session, name, events, now_ns, fingerprint, log_length) VALUES (?, ?, ?, ?, ?, ?)",
        (session, name, at.events, at.now_ns, at.fingerprint, checkpoint.log_length),
    )


def _save_result(db: sqlite3.Connection, session: str, result: dict[str, Any]) -> None:
    data = json.dumps(result, separators=(",", ":")).encode()
    deflated = len(data) > DEFLATE_BYTES
    db.execute(
        "INSERT INTO result (session, deflated, result) VALUES (?, ?, ?)"
        " ON CONFLICT (session) DO UPDATE SET deflated = excluded.deflated, result = excluded.result",
        (session, deflated, zlib.compress(data) if deflated else data),
    )


def _need_session(db: sqlite3.Connection, session: str) -> None:
    if db.execute("SELECT 1 FROM session WHERE session = ?", (session,)).fetchone() is None:
        raise unknown_session(session)


def _need(changed: sqlite3.Cursor, session: str) -> None:
    if changed.rowcount == 0:
        raise unknown_session(session)


def unknown_session(session: str) -> ServiceError:
    """Return what a write to a session meets that is not there."""
    message = f"there is no session {session} in the store"
    return ServiceError(ErrorCode.UNKNOWN_SESSION, message, {"session": session})


def _json(value: dict[str, Any] | list[Any] | None) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"))


def _stop(stop: AnyStop | None) -> str | None:
    return None if stop is None else stop.model_dump_json()
