"""What is written comes back, each kind of change alone, and also after the file was opened anew."""

from contextlib import closing
from threading import Thread

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from kactors.service.store import (
    AddCheckpoint,
    AppendEntry,
    CheckpointRecord,
    Create,
    Delete,
    SaveResult,
    Store,
    TruncateLog,
)
from kactors.service.store.changes import DEFLATE_BYTES
from protocols.service.errors import ErrorCode
from protocols.service.sessions import State
from protocols.stop import Quiescent
from tests.service.store.samples import (
    CHECKPOINTS,
    ENTRIES,
    JSON_OBJECTS,
    NAMES,
    RECORDS,
    advance,
    advances,
    at,
    entry,
    plain,
    told,
)

one_store = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def scratch(store):
    """A store in which each example begins anew, and need not wait for the disk."""
    store._db.execute("PRAGMA synchronous = OFF")
    return store


def write(store, *writes):
    assert store.commit([writes]) == [None]


def refused(store, *writes):
    (error,) = store.commit([writes])
    return error.code


def begin(store, *records):
    store.commit([[Delete(record.session)] for record in store.load_all()])
    write(store, *map(Create, records))


@one_store
@given(record=RECORDS)
def test_create(scratch, record):
    begin(scratch, record)
    (loaded,) = scratch.load_all()
    assert told(loaded) == told(record)
    assert told(scratch.load(record.session)) == told(record)
    if record.key is not None:
        assert told(scratch.find_key(record.client, record.key)) == told(record)


@one_store
@given(record=RECORDS, change=advances(st.just("")))
def test_advance(scratch, record, change):
    begin(scratch, record)
    changes = vars(change) | {"session": record.session}
    write(scratch, advance(record, **changes))
    assert told(scratch.load(record.session)) == told(type(record)(**(vars(record) | changes)))


@one_store
@given(entries=st.lists(ENTRIES, max_size=4), length=st.integers(0, 5))
def test_entries_append_and_truncate(scratch, entries, length):
    begin(scratch, plain("s"))
    for place, each in enumerate(entries):
        write(scratch, AppendEntry("s", place, each))
    assert told(scratch.load("s")) == told(plain("s", log=tuple(entries)))
    write(scratch, TruncateLog("s", length))
    assert told(scratch.load("s")) == told(plain("s", log=tuple(entries[:length])))


@one_store
@given(checkpoints=st.dictionaries(NAMES, CHECKPOINTS, max_size=4))
def test_checkpoints(scratch, checkpoints):
    begin(scratch, plain("s"))
    write(scratch, *(AddCheckpoint("s", name, made) for name, made in checkpoints.items()))
    assert told(scratch.load("s")) == told(plain("s", checkpoints=checkpoints))


@one_store
@given(result=JSON_OBJECTS, times=st.sampled_from([1, 2 * DEFLATE_BYTES]))
def test_results_short_and_long(scratch, result, times):
    begin(scratch, plain("s"))
    assert scratch.result("s") is None
    write(scratch, SaveResult("s", {"old": True}))
    result = result | {"text": "é" * times}
    write(scratch, SaveResult("s", result))
    assert scratch.result("s") == result
    assert scratch.load("s").has_result


def test_a_long_result_is_stored_short(store):
    write(store, Create(plain("s")))
    before = store.stored_bytes()
    write(store, SaveResult("s", {"text": "a" * 1_000_000}))
    assert store.stored_bytes() - before < 20_000


def test_truncating_forgets_the_checkpoints_that_lie_beyond(store):
    log = tuple(map(entry, range(3)))
    checkpoints = {f"after {length}": CheckpointRecord(at(9), length) for length in range(4)}
    write(store, Create(plain("s", log=log, checkpoints=checkpoints)), TruncateLog("s", 1))
    assert list(store.load("s").checkpoints) == ["after 0", "after 1"]


def test_a_session_that_goes_back_loses_its_result(store):
    ended = advance(plain("s"), state=State.ENDED, stop=Quiescent())
    write(store, Create(plain("s")), SaveResult("s", {"is": "old"}), ended)
    assert store.result("s") == {"is": "old"}
    write(store, ended)
    assert store.result("s") == {"is": "old"}
    write(store, TruncateLog("s", 0), advance(plain("s")))
    assert store.result("s") is None
    assert not store.load("s").has_result


def test_delete_takes_all_that_belongs_to_a_session_and_gives_its_place_back(store):
    empty = store.stored_bytes()
    full = plain(
        "s", key="k", request={}, log=tuple(map(entry, range(500))), checkpoints={"c": CheckpointRecord(at(1), 1)}
    )
    write(store, Create(full), SaveResult("s", {"text": list(range(5000))}))
    assert store.stored_bytes() > empty
    write(store, Delete("s"))
    assert store.load_all() == []
    assert (store.load("s"), store.result("s"), store.find_key("probe", "k")) == (None, None, None)
    assert store.stored_bytes() == empty
    write(store, Create(plain("s")))
    assert told(store.load("s")) == told(plain("s"))


def test_sessions_come_back_in_the_order_of_their_making_also_from_another_open(path):
    with closing(Store.open(path)) as store:
        for name in ("z", "a", "m"):
            write(store, Create(plain(name)))
        write(store, Delete("a"))
        write(store, Create(plain("b")))
        size = store.stored_bytes()
    with closing(Store.open(path)) as store:
        assert [record.session for record in store.load_all()] == ["z", "m", "b"]
        assert store.stored_bytes() == size
        assert store.integrity_check() == []


def test_a_bad_group_fails_alone_and_whole(store):
    write(store, Create(plain("s", key="k", request={})))
    errors = store.commit(
        [
            [Create(plain("before"))],
            [Create(plain("half")), AppendEntry("half", 0, entry(1)), Create(plain("s"))],
            [Create(plain("same key", key="k", request={}))],
            [Create(plain("other client", key="k", request={}, client="other"))],
            [Create(plain("surrogate", build="\ud800"))],
            [Create(plain("huge", sequence=2**64))],
            [Create(plain("nothing", build=None))],
            [SaveResult("s", {"no": object()})],
            [Create(plain("after"))],
        ]
    )
    conflict, internal = ErrorCode.CONFLICT, ErrorCode.INTERNAL
    codes = [error and error.code for error in errors]
    assert codes == [None, conflict, conflict, None, internal, internal, internal, internal, None]
    assert all("\n" not in error.message for error in errors if error)
    assert [record.session for record in store.load_all()] == ["s", "before", "other client", "after"]


def test_what_does_not_fit_what_is_stored_is_refused_by_name(store):
    write(store, Create(plain("s", checkpoints={"c": CheckpointRecord(at(0), 0)})))
    gone = [
        advance(plain("gone")),
        AppendEntry("gone", 0, entry(1)),
        AppendEntry("gone", 1, entry(1)),
        TruncateLog("gone", 0),
        AddCheckpoint("gone", "c", CheckpointRecord(at(0), 0)),
        SaveResult("gone", {}),
        Delete("gone"),
    ]
    assert {refused(store, each) for each in gone} == {ErrorCode.UNKNOWN_SESSION}
    assert refused(store, AddCheckpoint("s", "c", CheckpointRecord(at(1), 0))) is ErrorCode.CONFLICT
    assert refused(store, AppendEntry("s", 1, entry(1))) is ErrorCode.INTERNAL
    assert told(store.load("s")) == told(plain("s", checkpoints={"c": CheckpointRecord(at(0), 0)}))


def test_no_groups_are_no_commit(store):
    assert store.commit([]) == []
    assert store.commit([[]]) == [None]


def test_other_threads_may_use_it(store):
    thread = Thread(target=lambda: store.commit([[Create(plain("s"))]]))
    thread.start()
    thread.join()
    assert store.load("s") is not None
