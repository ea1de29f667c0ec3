"""Rows become records again. What cannot be understood any more makes its own session fail, and no other."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kactors.service.store.records import CheckpointRecord, SessionRecord
from protocols.scenario import Scenario
from protocols.service.commands import Entry, Position
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.sessions import State
from protocols.stop import AnyStop

_STOP: TypeAdapter[AnyStop] = TypeAdapter(AnyStop)

_SESSIONS = """
    SELECT session.*, result.session IS NOT NULL AS has_result
    FROM session LEFT JOIN result USING (session)
"""


def read_all(db: sqlite3.Connection) -> Iterator[tuple[SessionRecord, bool]]:
    """Yield every session in the order of their making, and whether it could be understood.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    entries = _by_session(db.execute("SELECT session, entry FROM entry ORDER BY session, place"))
    checkpoints = _by_session(db.execute("SELECT * FROM checkpoint ORDER BY number"))
    for row in db.execute(f"{_SESSIONS} ORDER BY session.number"):
        yield _record(row, entries[row["session"]], checkpoints[row["session"]])


def read_one(db: sqlite3.Connection, session: str) -> tuple[SessionRecord, bool] | None:
    """Return a session and whether it could be understood; None: there is none of that name.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    row = db.execute(f"{_SESSIONS} WHERE session.session = ?", (session,)).fetchone()
    if row is None:
        return None
    entries = db.execute("SELECT entry FROM entry WHERE session = ? ORDER BY place", (session,)).fetchall()
    checkpoints = db.execute("SELECT * FROM checkpoint WHERE session = ? ORDER BY number", (session,)).fetchall()
    return _record(row, entries, checkpoints)


def read_result(db: sqlite3.Connection, session: str) -> dict[str, Any] | None:
    """Return a session's stored result.

    Raises:
        sqlite3.Error: the file cannot be read.
        ValueError: what is stored is no result.
        zlib.error: so, too.
    """
    row = db.execute("SELECT deflated, result FROM result WHERE session = ?", (session,)).fetchone()
    if row is None:
        return None
    result: dict[str, Any] = json.loads(zlib.decompress(row["result"]) if row["deflated"] else row["result"])
    return result


def _by_session(rows: sqlite3.Cursor) -> defaultdict[str, list[sqlite3.Row]]:
    found: defaultdict[str, list[sqlite3.Row]] = defaultdict(list)
    for row in rows:
        found[row["session"]].append(row)
    return found


def _record(row: sqlite3.Row, entries: list[sqlite3.Row], checkpoints: list[sqlite3.Row]) -> tuple[SessionRecord, bool]:
    try:
        return _understood(row, entries, checkpoints), True
    except ValueError as error:
        return _failed(row, error), False


def _understood(row: sqlite3.Row, entries: list[sqlite3.Row], checkpoints: list[sqlite3.Row]) -> SessionRecord:
    return SessionRecord(
        session=row["session"],
        client=row["client"],
        key=row["key"],
        request=_json(row["request"]),
        scenario=Scenario.model_validate_json(row["scenario"]),
        build=row["build"],
        created_at=row["created_at"],
        state=State(row["state"]),
        sequence=row["sequence"],
        position=_position(row),
        goal_ns=row["goal_ns"],
        goal_events=row["goal_events"],
        stop=None if row["stop"] is None else _STOP.validate_json(row["stop"]),
        error=_json(row["error"]),
        wall_ns=row["wall_ns"],
        forked_from=row["forked_from"],
        log=tuple(Entry.model_validate_json(each["entry"]) for each in entries),
        checkpoints={each["name"]: CheckpointRecord(_position(each), each["log_length"]) for each in checkpoints},
        has_result=bool(row["has_result"]),
    )


def _failed(row: sqlite3.Row, error: ValueError) -> SessionRecord:
    """What can be told of a session that is not understood: enough for a list, nothing to replay."""
    return SessionRecord(
        session=row["session"],
        client=row["client"],
        key=row["key"],
        scenario=_readable(row["scenario"]),
        build=row["build"],
        created_at=row["created_at"],
        state=State.FAILED,
        sequence=row["sequence"],
        position=Position.model_construct(events=row["events"], now_ns=row["now_ns"], fingerprint=row["fingerprint"]),
        error=_not_understood(row, error).to_wire(),
        wall_ns=row["wall_ns"],
        forked_from=row["forked_from"],
    )


def _not_understood(row: sqlite3.Row, error: ValueError) -> ServiceError:
    why = str(error)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        why = f"{error.title}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    message = f"{row['session']} is of build {row['build']}, and this one does not understand what is stored: {why}"
    return ServiceError(ErrorCode.REPLAY_DIFFERS, message, {"build": row["build"]})


def _readable(text: str) -> Scenario:
    """Return a scenario of the keys that are still valid, and of defaults for the others."""
    try:
        raw = json.loads(text)
        return Scenario.model_validate(raw)
    except ValidationError as error:
        bad = {each["loc"][0] for each in error.errors() if each["loc"]}
        return Scenario.model_validate({key: raw[key] for key in raw if key not in bad} if bad else {})
    except ValueError:
        return Scenario()


def _position(row: sqlite3.Row) -> Position:
    return Position(events=row["events"], now_ns=row["now_ns"], fingerprint=row["fingerprint"])


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
