"""From each version to the newest, all or nothing. The machinery is shown on versions of its own."""

import sqlite3
from contextlib import closing

import pytest

from kactors.engine.errors import UsageError
from kactors.service.store import Create, Store
from kactors.service.store.changes import make
from kactors.service.store.migrations import APPLICATION_ID, MIGRATIONS, check_identity, migrate
from tests.service.store.samples import plain

THREE = (
    ("CREATE TABLE word (text TEXT) STRICT", "INSERT INTO word VALUES ('one')"),
    ("ALTER TABLE word ADD COLUMN letters INTEGER", "UPDATE word SET letters = length(text)"),
    ("INSERT INTO word VALUES ('three', 5)",),
)


@pytest.fixture
def db(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        yield opened


def version(db):
    return db.execute("PRAGMA user_version").fetchone()[0]


def words(db):
    return db.execute("SELECT * FROM word").fetchall()


@pytest.mark.parametrize("old", range(4))
def test_from_each_version_to_the_newest(db, old):
    migrate(db, THREE[:old])
    assert version(db) == old
    migrate(db, THREE)
    migrate(db, THREE)
    assert (version(db), words(db)) == (3, [("one", 3), ("three", 5)])
    check_identity(db, known=3)


@pytest.mark.parametrize("old", range(3))
def test_one_that_fails_leaves_the_file_as_it_was(db, old):
    migrate(db, THREE[:old])
    before = list(db.iterdump())
    with pytest.raises(sqlite3.OperationalError, match="no such table: missing"):
        migrate(db, (*THREE, ("INSERT INTO word VALUES ('four', 4)", "DELETE FROM missing")))
    assert (version(db), list(db.iterdump())) == (old, before)


def test_a_newer_version_is_refused_before_it_is_touched(db):
    migrate(db, THREE)
    with pytest.raises(UsageError, match="version 3 and this kactors knows up to 2"):
        check_identity(db, known=2)


def test_the_tables_are_strict(db):
    migrate(db)
    assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    tables = [row for row in db.execute("PRAGMA table_list") if not row[1].startswith("sqlite_")]
    assert {row[1] for row in tables} == {"session", "entry", "checkpoint", "result", "search"}
    assert all(row[5] for row in tables)
    assert version(db) == len(MIGRATIONS)


def test_sessions_of_the_first_version_are_there_beside_searches(path, db):
    migrate(db, MIGRATIONS[:1])
    session = plain("s1")
    make(db, Create(session))
    migrate(db)
    with closing(Store.open(path)) as store:
        assert store.load_all() == [session]
        assert store.load_searches() == []
