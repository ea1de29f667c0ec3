"""The tables, and how a file of an older version comes to them. A migration that was released is never changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from kactors.engine.errors import UsageError

APPLICATION_ID = 0x6B616374
"""``kact``: what tells our files from other programs' in the file's header."""

Migration = tuple[str, ...]
"""The statements that lead from one version to the next."""

_SESSIONS: Migration = (
    """
    CREATE TABLE session (
        number INTEGER PRIMARY KEY,
        session TEXT NOT NULL UNIQUE,
        client TEXT NOT NULL,
        key TEXT,
        request TEXT,
        scenario TEXT NOT NULL,
        build TEXT NOT NULL,
        created_at REAL NOT NULL,
        state TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        events INTEGER NOT NULL,
        now_ns INTEGER NOT NULL,
        fingerprint TEXT NOT NULL,
        goal_ns INTEGER,
        goal_events INTEGER,
        stop TEXT,
        error TEXT,
        wall_ns INTEGER NOT NULL,
        forked_from TEXT,
        UNIQUE (client, key)
    ) STRICT
    """,
    """
    CREATE TABLE entry (
        session TEXT NOT NULL REFERENCES session (session) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        entry TEXT NOT NULL,
        PRIMARY KEY (session, place)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE checkpoint (
        number INTEGER PRIMARY KEY,
        session TEXT NOT NULL REFERENCES session (session) ON DELETE CASCADE,
        name TEXT NOT NULL,
        events INTEGER NOT NULL,
        now_ns INTEGER NOT NULL,
        fingerprint TEXT NOT NULL,
        log_length INTEGER NOT NULL,
        UNIQUE (session, name)
    ) STRICT
    """,
    """
    CREATE TABLE result (
        session TEXT PRIMARY KEY REFERENCES session (session) ON DELETE CASCADE,
        deflated INTEGER NOT NULL,
        result BLOB NOT NULL
    ) STRICT
    """,
)

_SEARCHES: Migration = (
    """
    CREATE TABLE search (
        number INTEGER PRIMARY KEY,
        search TEXT NOT NULL UNIQUE,
        client TEXT NOT NULL,
        key TEXT,
        params TEXT NOT NULL,
        build TEXT NOT NULL,
        created_at REAL NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        found TEXT,
        error TEXT,
        numbers TEXT NOT NULL,
        result BLOB,
        UNIQUE (client, key)
    ) STRICT
    """,
)

MIGRATIONS: tuple[Migration, ...] = (_SESSIONS, _SEARCHES)
"""The first makes version 1 of an empty file, the second version 2 of version 1, and so on."""


def check_identity(db: sqlite3.Connection, known: int = len(MIGRATIONS)) -> None:
    """Refuse a file of another program or of a newer version, before anything in it is touched.

    Args:
        db: the opened file.
        known: the newest version that can be used.

    Raises:
        UsageError: it is one.
        sqlite3.Error: the file cannot be read, or is no SQLite file.
    """
    application = _number(db, "PRAGMA application_id")
    version = _number(db, "PRAGMA user_version")
    empty = application == 0 and version == 0 and _number(db, "SELECT count(*) FROM sqlite_schema") == 0
    if application != APPLICATION_ID and not empty:
        raise UsageError("it is a database of another program; name another file")
    if version > known:
        raise UsageError(f"it has version {version} and this kactors knows up to {known}; use a newer kactors")


def migrate(db: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the tables to the newest version, all or nothing.

    Args:
        db: in autocommit mode.
        migrations: as MIGRATIONS.

    Raises:
        sqlite3.Error: it could not be done; the file is as it was.
    """
    version = _number(db, "PRAGMA user_version")
    if version == len(migrations):
        return
    try:
        db.execute("BEGIN IMMEDIATE")
        for migration in migrations[version:]:
            for statement in migration:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(migrations)}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _number(db: sqlite3.Connection, query: str) -> int:
    number: int = db.execute(query).fetchone()[0]
    return number
