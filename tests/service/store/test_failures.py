"""A full disk, a locked file: nothing is half written, everybody is told what to do, and afterwards it goes on."""

import resource
import sqlite3
from contextlib import closing, contextmanager

import pytest

from kactors.service.store import AppendEntry, Create, Delete, SaveResult, Store, store as store_module
from kactors.service.store.changes import make
from protocols.service.errors import ErrorCode, ServiceError
from tests.service.store.samples import advance, entry, plain, told

LONG = {"numbers": list(range(200_000))}


@pytest.fixture
def filled(store):
    assert store.commit([[Create(plain("s"))]]) == [None]
    return store


def all_fail(store, groups, *words):
    """Nothing of the groups is written, and each is told why."""
    before, size = list(map(told, store.load_all())), store.stored_bytes()
    for error in store.commit(groups):
        assert error.code is ErrorCode.STORE
        assert "\n" not in error.message
        assert all(word in error.message for word in ("nothing was written", *words))
    assert list(map(told, store.load_all())) == before
    assert store.stored_bytes() == size


def goes_on(store):
    assert store.integrity_check() == []
    assert store.commit([[AppendEntry("s", 0, entry(1)), advance(plain("s"), sequence=1)]]) == [None]
    assert told(store.load("s")) == told(plain("s", sequence=1, log=(entry(1),)))


@contextmanager
def file_bytes_max(size):
    """Let no file of this process grow beyond a size: for SQLite, a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(filled):
    (pages,) = filled._db.execute("PRAGMA page_count").fetchone()
    filled._db.execute(f"PRAGMA max_page_count = {pages}")
    groups = [[AppendEntry("s", 0, entry(1))], [Create(plain("big")), SaveResult("big", LONG)]]
    all_fail(filled, groups, "the disk is full; free some space")
    goes_on(filled)
    assert filled.commit([[Delete("s")]]) == [None]


def test_a_file_that_may_not_grow(filled, path):
    wal = path.with_name(f"{path.name}-wal")
    with file_bytes_max(wal.stat().st_size + 10_000):
        all_fail(filled, [[AppendEntry("s", 0, entry(1))], [SaveResult("s", LONG)]], "see dmesg and ulimit -f")
    goes_on(filled)
    filled.close()
    with closing(Store.open(path)) as again:
        assert [record.sequence for record in again.load_all()] == [1]


def test_a_file_that_another_program_has_locked(filled, path):
    filled._db.execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        all_fail(
            filled, [[AppendEntry("s", 0, entry(1))], [Delete("s")]], "another program has locked the file; end it"
        )
    goes_on(filled)


def test_a_short_lock_is_waited_for(filled):
    (timeout_ms,) = filled._db.execute("PRAGMA busy_timeout").fetchone()
    assert timeout_ms == 2000


def test_a_commit_that_fails_at_its_very_end(filled, monkeypatch):
    def make_unchecked(db, write):
        db.execute("PRAGMA defer_foreign_keys = ON")
        make(db, write)

    monkeypatch.setattr(store_module, "make", make_unchecked)
    all_fail(filled, [[AppendEntry("s", 0, entry(1))], [AppendEntry("gone", 0, entry(1))]])
    goes_on(filled)


def test_what_is_no_error_of_the_store_leaves_no_transaction_behind(filled, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "make", interrupted)
        with pytest.raises(KeyboardInterrupt):
            filled.commit([[AppendEntry("s", 0, entry(1))]])
    goes_on(filled)


def test_a_closed_store_says_so(filled):
    filled.close()
    (error,) = filled.commit([[Delete("s")]])
    assert error.code is ErrorCode.STORE
    with pytest.raises(ServiceError, match="closed"):
        filled.load_all()
