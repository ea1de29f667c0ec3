"""Searches in the store: their rows written and read. All of it runs inside a transaction that the store begins."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from protocols.scenario import Scenario
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.searches import CheckStartParams, EndReason, SearchNumbers, SearchState


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """What the store knows of a search.

    Attributes:
        search: its name.
        client: who began it.
        params: what was asked for; no two searches of a client have the same key.
        build: fingerprint of the simulator that was asked.
        created_at: seconds since 1970.
        state: what it does; one that runs begins anew when the service does.
        reason: why it ended.
        found: what kind of finding there is.
        error: why it failed: ``[code, message, data]``.
        numbers: what it covered.
    """

    search: str
    client: str
    params: CheckStartParams
    build: str
    created_at: float
    state: SearchState = SearchState.RUNNING
    reason: EndReason | None = None
    found: str | None = None
    error: list[Any] | None = None
    numbers: SearchNumbers = field(default_factory=SearchNumbers)


@dataclass(frozen=True)
class StartSearch:
    """A new search. Its name and its client's key must be free."""

    record: SearchRecord

    @property
    def session(self) -> str:
        """The new search's name."""
        return self.record.search


@dataclass(frozen=True)
class EndSearch:
    """A search has ended, with its result, or failed."""

    record: SearchRecord
    result: dict[str, Any] | None

    @property
    def session(self) -> str:
        """The search's name."""
        return self.record.search


@dataclass(frozen=True)
class DeleteSearch:
    """Forget a search."""

    session: str


def start(db: sqlite3.Connection, record: SearchRecord) -> None:
    """Write a new search."""
    db.execute(
        "INSERT INTO search (search, client, key, params, build, created_at, state, numbers)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.search,
            record.client,
            record.params.key,
            record.params.model_dump_json(exclude_unset=True),
            record.build,
            record.created_at,
            record.state.value,
            record.numbers.model_dump_json(),
        ),
    )


def end(db: sqlite3.Connection, record: SearchRecord, result: dict[str, Any] | None) -> None:
    """Write how a search ended.

    Raises:
        ServiceError: UNKNOWN_SEARCH.
    """
    changed = db.execute(
        "UPDATE search SET state = ?, reason = ?, found = ?, error = ?, numbers = ?, result = ? WHERE search = ?",
        (
            record.state.value,
            record.reason,
            record.found,
            None if record.error is None else json.dumps(record.error),
            record.numbers.model_dump_json(),
            None if result is None else zlib.compress(json.dumps(result, separators=(",", ":")).encode()),
            record.search,
        ),
    )
    _need(changed, record.search)


def delete(db: sqlite3.Connection, search: str) -> None:
    """Delete a search's row.

    Raises:
        ServiceError: UNKNOWN_SEARCH.
    """
    _need(db.execute("DELETE FROM search WHERE search = ?", (search,)), search)


def read_searches(db: sqlite3.Connection) -> Iterator[SearchRecord]:
    """Yield every search in the order of their making; one that cannot be understood any more is failed.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    columns = "search, client, key, params, build, created_at, state, reason, found, error, numbers"
    for row in db.execute(f"SELECT {columns} FROM search ORDER BY number"):
        try:
            yield _understood(row)
        except ValueError:
            yield _failed(row)


def read_search_result(db: sqlite3.Connection, search: str) -> dict[str, Any] | None:
    """Return a search's stored result.

    Raises:
        sqlite3.Error: the file cannot be read.
        ValueError: what is stored is no result.
        zlib.error: so, too.
    """
    row = db.execute("SELECT result FROM search WHERE search = ?", (search,)).fetchone()
    if row is None or row["result"] is None:
        return None
    result: dict[str, Any] = json.loads(zlib.decompress(row["result"]))
    return result


def _understood(row: sqlite3.Row) -> SearchRecord:
    return SearchRecord(
        search=row["search"],
        client=row["client"],
        params=CheckStartParams.model_validate_json(row["params"]),
        build=row["build"],
        created_at=row["created_at"],
        state=SearchState(row["state"]),
        reason=row["reason"],
        found=row["found"],
        error=None if row["error"] is None else json.loads(row["error"]),
        numbers=SearchNumbers.model_validate_json(row["numbers"]),
    )


def _failed(row: sqlite3.Row) -> SearchRecord:
    """What can be told of a search that is not understood."""
    message = f"{row['search']} is of build {row['build']}, and this one does not understand what was asked for"
    return SearchRecord(
        search=row["search"],
        client=row["client"],
        params=CheckStartParams(scenario=Scenario(), key=row["key"]),
        build=row["build"],
        created_at=row["created_at"],
        state=SearchState.FAILED,
        error=ServiceError(ErrorCode.REPLAY_DIFFERS, message, {"build": row["build"]}).to_wire(),
    )


def _need(changed: sqlite3.Cursor, search: str) -> None:
    if changed.rowcount == 0:
        raise ServiceError(ErrorCode.UNKNOWN_SEARCH, f"there is no search {search} in the store", {"check": search})
