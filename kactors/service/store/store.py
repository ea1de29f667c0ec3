"""The store: what was committed is there after a crash at any moment, and what was not is not, in no part."""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kactors.engine.errors import UsageError
from kactors.service.store.changes import make, unknown_session
from kactors.service.store.failures import explain
from kactors.service.store.lock import take_lock
from kactors.service.store.migrations import check_identity, migrate
from kactors.service.store.records import SessionRecord
from kactors.service.store.rows import read_all, read_one, read_result
from kactors.service.store.searches import SearchRecord, StartSearch, read_search_result, read_searches
from kactors.service.store.writes import Create, Delete, Write
from protocols.service.errors import ErrorCode, ServiceError

BUSY_MS = 2000
"""How long another program may hold the file before a commit is given up."""


class Store:
    """One open store. Any thread may use it, but only one at a time; ``open`` makes it."""

    def __init__(self, path: Path, db: sqlite3.Connection, lock: int) -> None:
        self._path = path
        self._db = db
        self._lock: int | None = lock
        # Kept as they are for a version that understands them: nothing is written over them.
        self._unreadable: dict[str, list[Any]] = {}
        self._bytes = _used_bytes(db)

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open a store's file, or make one, for this process alone; nobody else may read it.

        Args:
            path: the SQLite file. Beside it are ``-wal``, ``-shm`` and ``.lock``.

        Raises:
            UsageError: the folder is missing, another service has the file, it is another program's, a newer
                version's or damaged, or the disk does not let us.
        """
        path = path.resolve()
        if not path.parent.is_dir():
            raise UsageError(f"the store {path}: there is no folder {path.parent}; make it first")
        try:
            return cls._open(path)
        except UsageError as error:
            raise UsageError(f"the store {path}: {error}") from None
        except sqlite3.Error as error:
            raise UsageError(f"the store {path}: {explain(error)}") from error
        except OSError as error:
            raise UsageError(f"the store {path}: {error.strerror}; name a file that can be written") from error

    @classmethod
    def _open(cls, path: Path) -> Store:
        lock = take_lock(path)
        db = None
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            _prepare(db, path)
            return cls(path, db, lock)
        except BaseException:
            if db is not None:
                db.close()
            os.close(lock)
            raise

    def close(self) -> None:
        """Write what is in the log into the file, and let others have it; again is fine."""
        if self._lock is None:
            return
        with suppress(sqlite3.Error):  # the next open does it
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
        os.close(self._lock)
        self._lock = None

    # --- writing -----------------------------------------------------------------------------------------------------

    def commit(self, groups: Sequence[Sequence[Write]]) -> list[ServiceError | None]:
        """Write groups of changes, each whole or not at all, with one flush to the disk for all of them.

        Args:
            groups: changes that stand or fall together.

        Returns:
            Per group, None: it is on the disk; or why nothing of it was written. CONFLICT: a name, a key or a
            checkpoint is taken. UNKNOWN_SESSION. REPLAY_DIFFERS: the session is kept for another version.
            STORE, of all: the disk or another program did not let us. INTERNAL: the change itself is wrong.
        """
        if not groups:
            return []
        try:
            self._db.execute("BEGIN IMMEDIATE")
            errors = [self._group(group) for group in groups]
            used_bytes = _used_bytes(self._db)
            self._end()
        except sqlite3.Error as error:
            message = f"nothing was written to {self._path}: {explain(error)}"
            return [ServiceError(ErrorCode.STORE, message) for _ in groups]
        finally:
            self._roll_back()
        self._bytes = used_bytes
        self._forget_unreadable(groups, errors)
        return errors

    def _group(self, writes: Sequence[Write]) -> ServiceError | None:
        """Make a group's changes, or none of them.

        Raises:
            sqlite3.Error: the transaction as a whole cannot go on.
        """
        self._db.execute("SAVEPOINT grouped")
        failed = None
        for write in writes:
            failed = self._write(write)
            if failed is not None:
                self._db.execute("ROLLBACK TO grouped")
                break
        self._db.execute("RELEASE grouped")
        return failed

    def _write(self, write: Write) -> ServiceError | None:
        try:
            if write.session in self._unreadable and not isinstance(write, Delete):
                return _from_wire(*self._unreadable[write.session])
            make(self._db, write)
        except ServiceError as error:
            return error
        except sqlite3.IntegrityError as error:
            return _refused(write, error)
        except (ValueError, TypeError, OverflowError, sqlite3.DataError) as error:
            kind = type(write).__name__
            return ServiceError(ErrorCode.INTERNAL, f"{kind} of {write.session} cannot be stored: {error}")
        return None

    def _end(self) -> None:
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            # Where only the flush failed, the log holds a whole transaction that a later open would take for
            # committed; this writes what was committed into the file and empties the log.
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            raise

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # closed, or so broken that the next BEGIN tells
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _forget_unreadable(self, groups: Sequence[Sequence[Write]], errors: Sequence[ServiceError | None]) -> None:
        for writes, error in zip(groups, errors, strict=True):
            if error is None:
                for write in writes:
                    if isinstance(write, Delete):
                        self._unreadable.pop(write.session, None)

    # --- reading -----------------------------------------------------------------------------------------------------

    def load_all(self) -> list[SessionRecord]:
        """Return every session in the order of their making.

        One that this version does not understand is FAILED, with a REPLAY_DIFFERS error; it stays as it is in the
        file, and can only be deleted.

        Raises:
            ServiceError: STORE: the file cannot be read.
        """
        with self._reading():
            return [self._noted(record, understood=understood) for record, understood in read_all(self._db)]

    def load(self, session: str) -> SessionRecord | None:
        """Return a session, as ``load_all`` does, or None.

        Raises:
            ServiceError: STORE: the file cannot be read.
        """
        with self._reading():
            found = read_one(self._db, session)
        return None if found is None else self._noted(found[0], understood=found[1])

    def find_key(self, client: str, key: str) -> SessionRecord | None:
        """Return the session that a client made with a key, or None.

        Raises:
            ServiceError: STORE: the file cannot be read.
        """
        with self._reading():
            row = self._db.execute("SELECT session FROM session WHERE client = ? AND key = ?", (client, key)).fetchone()
        return None if row is None else self.load(row["session"])

    def result(self, session: str) -> dict[str, Any] | None:
        """Return a session's result, or None.

        Raises:
            ServiceError: STORE: the file cannot be read.
        """
        with self._reading():
            return read_result(self._db, session)

    def load_searches(self) -> list[SearchRecord]:
        """Return every search in the order of their making; one that is not understood is FAILED.

        Raises:
            ServiceError: STORE: the file cannot be read.
        """
        with self._reading():
            return list(read_searches(self._db))

    def search_result(self, search: str) -> dict[str, Any] | None:
        """Return a search's result, or None.

        Raises:
            ServiceError: STORE: the file cannot be read.
        """
        with self._reading():
            return read_search_result(self._db, search)

    def stored_bytes(self) -> int:
        """Return the size of what is stored as of the last commit; asking costs nothing."""
        return self._bytes

    def integrity_check(self) -> list[str]:
        """Return what is wrong with the file, a line each; it reads all of it."""
        try:
            said = [str(row[0]) for row in self._db.execute("PRAGMA integrity_check")]
            orphans = [f"a row of {row[0]} has no session" for row in self._db.execute("PRAGMA foreign_key_check")]
        except sqlite3.Error as error:
            return [explain(error)]
        return [line for text in said if text != "ok" for line in text.splitlines()] + orphans

    def _noted(self, record: SessionRecord, *, understood: bool) -> SessionRecord:
        if not understood and record.error is not None:
            self._unreadable[record.session] = record.error
        return record

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ServiceError(ErrorCode.STORE, f"{self._path} cannot be read: {explain(error)}") from error
        except (ValueError, zlib.error) as error:
            raise ServiceError(ErrorCode.STORE, f"{self._path} cannot be read: {error}") from error


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make sure that the file is ours, and whole, and has its tables.

    Raises:
        UsageError: it is not.
        sqlite3.Error: it cannot be read or written.
        OSError: it belongs to somebody else.
    """
    db.row_factory = sqlite3.Row
    db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    check_identity(db)
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        if file.exists():
            file.chmod(0o600)
    (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise UsageError("its disk allows no write-ahead log (a network's?); name a file on a local disk")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    migrate(db)
    damage = _damage(db, path)
    if damage is not None:
        raise UsageError(f"it is damaged ({damage}); put a copy in its place or name another file")


def _damage(db: sqlite3.Connection, path: Path) -> str | None:
    """Return what is wrong with the file, or None."""
    (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    pages, page_bytes = _number(db, "page_count"), _number(db, "page_size")
    # SQLite takes a last page that was cut for one that ends in zeros.
    if not busy and path.stat().st_size < pages * page_bytes:
        return f"{path.stat().st_size} bytes are left of {pages * page_bytes}"
    (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
    return None if said == "ok" else " ".join(said.split())


def _used_bytes(db: sqlite3.Connection) -> int:
    return (_number(db, "page_count") - _number(db, "freelist_count")) * _number(db, "page_size")


def _number(db: sqlite3.Connection, pragma: str) -> int:
    number: int = db.execute(f"PRAGMA {pragma}").fetchone()[0]
    return number


def _from_wire(code: int, message: str, data: dict[str, Any]) -> ServiceError:
    return ServiceError(ErrorCode(code), message, data)


def _refused(write: Write, error: sqlite3.IntegrityError) -> ServiceError:
    """Return what a constraint means that SQLite found broken."""
    if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return unknown_session(write.session)
    if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
        what = "its name or its key" if isinstance(write, Create | StartSearch) else "the checkpoint's name"
        message = f"{write.session}: {what} is taken in the store; choose another"
        return ServiceError(ErrorCode.CONFLICT, message, {"session": write.session})
    return ServiceError(ErrorCode.INTERNAL, f"{type(write).__name__} of {write.session} cannot be stored: {error}")
