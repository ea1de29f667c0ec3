"""Who may open a store, and what is refused: in one line that names the file and says what to do."""

import os
import random
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest

from kactors.engine.errors import UsageError
from kactors.service.store import Create, SaveResult, Store, store as store_module
from kactors.service.store.migrations import APPLICATION_ID, MIGRATIONS
from tests.service.store.samples import entry, plain


def why_refused(path):
    with pytest.raises(UsageError) as caught:
        Store.open(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def fill(path):
    """Make a store of many pages."""
    with closing(Store.open(path)) as store:
        for number in range(20):
            record = plain(f"s{number}", log=tuple(map(entry, range(50))))
            noise = random.Random(number).randbytes(2000).hex()
            assert store.commit([[Create(record), SaveResult(record.session, {"noise": noise})]]) == [None]


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def modes(path):
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}


def test_a_new_store_is_empty_and_ours(store, path):
    assert store.load_all() == []
    assert store.integrity_check() == []
    with closing(sqlite3.connect(path)) as db:
        numbers = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    assert numbers == [APPLICATION_ID, len(MIGRATIONS)]


def test_commits_wait_for_the_disk_and_keys_are_checked(store):
    settings = [
        store._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
    ]
    assert settings == ["wal", 2, 1]


def test_nobody_else_may_read_it(path):
    before = os.umask(0)
    try:
        store = Store.open(path)
    finally:
        os.umask(before)
    with closing(store):
        store.commit([[Create(plain("s"))]])
        names = ["sessions.db", "sessions.db-shm", "sessions.db-wal", "sessions.db.lock"]
        assert modes(path) == dict.fromkeys(names, 0o600)


def test_a_file_that_others_could_read_is_closed_to_them(path):
    fill(path)
    path.chmod(0o644)
    with closing(Store.open(path)):
        assert set(modes(path).values()) == {0o600}


def test_a_second_open_is_refused_and_told_who_has_it(store, path):
    assert f"pid {os.getpid()}" in why_refused(path)
    program = (
        "import sys; from pathlib import Path; from kactors.service.store import Store; Store.open(Path(sys.argv[1]))"
    )
    other = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert f"another service uses it (pid {os.getpid()})" in other.stderr
    store.close()
    store.close()
    Store.open(path).close()


def test_a_symlink_is_the_same_store(store, path):
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(UsageError, match="another service uses it"):
        Store.open(link)


def test_a_refused_open_gives_the_lock_back(path):
    path.write_bytes(b"no database, " * 1000)
    why_refused(path)
    path.unlink()
    Store.open(path).close()


def test_a_missing_folder_is_not_made(tmp_path):
    assert f"there is no folder {tmp_path / 'missing'}" in why_refused(tmp_path / "missing" / "sessions.db")
    assert not (tmp_path / "missing").exists()


def test_a_folder_is_no_store(tmp_path):
    assert "Is a directory" in why_refused(tmp_path)


def test_another_programs_database_is_left_as_it_is(path):
    execute(path, "CREATE TABLE mail (text)")
    before = path.read_bytes()
    assert "another program" in why_refused(path)
    execute(path, "PRAGMA application_id = 7")
    assert "another program" in why_refused(path)
    execute(path, "PRAGMA application_id = 0")
    assert len(path.read_bytes()) == len(before)


def test_a_newer_version_is_refused(path):
    fill(path)
    execute(path, "PRAGMA user_version = 99")
    assert f"it has version 99 and this kactors knows up to {len(MIGRATIONS)}" in why_refused(path)


def test_an_open_that_was_killed_before_it_made_the_tables_does_no_harm(path):
    execute(path, "PRAGMA journal_mode = WAL")
    Store.open(path).close()


@pytest.mark.parametrize("size", [20, 100, 10_000])
def test_garbage_is_refused(path, size):
    path.write_bytes(random.Random(size).randbytes(size))
    assert "damaged" in why_refused(path)


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(path, kept):
    fill(path)
    os.truncate(path, int(path.stat().st_size * kept))
    assert "damaged" in why_refused(path)


@pytest.mark.parametrize("seed", range(5))
def test_garbage_in_the_middle_is_refused(path, seed):
    fill(path)
    numbers = random.Random(seed)
    with path.open("r+b") as file:
        file.seek(4096 * numbers.randrange(1, path.stat().st_size // 4096))
        file.write(numbers.randbytes(4096))
    assert "damaged" in why_refused(path)


def test_damage_that_comes_later_is_told_in_one_line(path):
    fill(path)
    with closing(Store.open(path)) as store:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
        store._db.execute("PRAGMA shrink_memory")
        for read in (store.load_all, lambda: store.load("s1"), lambda: store.result("s1")):
            with pytest.raises(Exception, match="cannot be read: the file is damaged") as caught:
                read()
            assert caught.value.code == 603
        assert all("\n" not in line for line in store.integrity_check())
        assert store.integrity_check()


def test_a_file_that_another_program_keeps_for_itself_is_refused(path, monkeypatch):
    fill(path)
    monkeypatch.setattr(store_module, "BUSY_MS", 10)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        assert "another program has locked the file" in why_refused(path)
    Store.open(path).close()
