"""A session that another version wrote and this one cannot read fails alone, and is kept as it is."""

import json
from contextlib import closing

import pytest

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
from protocols.scenario import Scenario
from protocols.service.errors import ErrorCode, ServiceError
from protocols.service.sessions import State
from protocols.stop import Quiescent
from tests.service.store.samples import advance, at, entry, plain, told

SCENARIO = Scenario(workload="ebizzy", policy="classic", seed=42)
OLD = plain(
    "old",
    key="k",
    request={"seed": 42},
    scenario=SCENARIO,
    log=(entry(1),),
    checkpoints={"c": CheckpointRecord(at(1), 1)},
    position=at(5),
    sequence=2,
    stop=Quiescent(),
)
SPOILT = {
    "scenario": json.dumps(SCENARIO.model_dump(mode="json") | {"cpus": "many", "colour": "red"}),
    "state": "dreaming",
    "stop": '{"kind": "bored"}',
    "request": "{",
    "error": "[",
    "events": -1,
}


@pytest.fixture
def both(store):
    assert store.commit([[Create(OLD)], [Create(plain("other"))]]) == [None, None]
    return store


def rows(store):
    return [tuple(row) for table in ("session", "entry", "checkpoint", "result") for row in dump(store, table)]


def dump(store, table):
    return store._db.execute(f"SELECT * FROM {table}").fetchall()


def fails(store):
    """Return the old session, which has failed; the other is fine."""
    old, other = store.load_all()
    assert told(other) == told(plain("other"))
    assert (old.session, old.client, old.key, old.sequence) == ("old", "probe", "k", 2)
    assert old.state is State.FAILED
    code, message, data = old.error
    assert (code, data) == (ErrorCode.REPLAY_DIFFERS, {"build": "b1"})
    assert "\n" not in message
    return old


@pytest.mark.parametrize("column", SPOILT)
def test_a_column_that_is_not_understood(both, column):
    both._db.execute(f"UPDATE session SET {column} = ? WHERE session = 'old'", (SPOILT[column],))
    fails(both)


def test_a_command_that_is_not_understood(both):
    both._db.execute("""UPDATE entry SET entry = replace(entry, 'set_bound', 'set_fire')""")
    assert fails(both).log == ()


def test_of_a_scenario_what_is_understood_is_told(both):
    both._db.execute("UPDATE session SET scenario = ? WHERE session = 'old'", (SPOILT["scenario"],))
    old = fails(both)
    assert old.scenario == SCENARIO
    assert "Scenario: cpus: " in old.error[1]


@pytest.mark.parametrize("scenario", ["[]", "7", "not even JSON"])
def test_of_a_scenario_that_is_none_nothing_is_told(both, scenario):
    both._db.execute("UPDATE session SET scenario = ? WHERE session = 'old'", (scenario,))
    assert fails(both).scenario == Scenario()


def test_it_is_kept_as_it_is_until_it_is_deleted(both):
    both._db.execute("UPDATE session SET scenario = '{\"colour\": 1}' WHERE session = 'old'")
    before = rows(both)
    old = fails(both)
    writes = [
        advance(old, state=State.PAUSED, error=None),
        AppendEntry("old", 1, entry(2)),
        TruncateLog("old", 0),
        AddCheckpoint("old", "d", CheckpointRecord(at(1), 1)),
        SaveResult("old", {}),
    ]
    errors = both.commit([[write] for write in writes])
    assert [error.code for error in errors] == [ErrorCode.REPLAY_DIFFERS] * len(writes)
    assert rows(both) == before
    assert both.load("old") == both.find_key("probe", "k") == old
    assert both.commit([[Delete("old")]]) == [None]
    assert both.commit([[Create(OLD)], [AppendEntry("old", 1, entry(2))]]) == [None, None]


def test_a_version_that_understands_it_finds_all_of_it(both, path):
    (good,) = both._db.execute("SELECT state FROM session WHERE session = 'old'").fetchone()
    both._db.execute("UPDATE session SET state = 'dreaming' WHERE session = 'old'")
    fails(both)
    both.close()
    with closing(Store.open(path)) as again:
        fails(again)
        again._db.execute("UPDATE session SET state = ? WHERE session = 'old'", (good,))
        assert told(again.load("old")) == told(OLD)


def test_a_result_that_cannot_be_read_is_an_error_of_the_store(both):
    both.commit([[SaveResult("other", {"a": 1})]])
    for deflated, data in ((0, b"{"), (1, b"no deflated bytes")):
        both._db.execute("UPDATE result SET deflated = ?, result = ?", (deflated, data))
        with pytest.raises(ServiceError, match="cannot be read") as caught:
            both.result("other")
        assert caught.value.code is ErrorCode.STORE
