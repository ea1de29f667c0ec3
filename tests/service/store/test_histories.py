"""Any history of commits, good and bad, beside a dict that is told the same; and the file is opened anew in between."""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kactors.service.store import (
    AddCheckpoint,
    Advance,
    AppendEntry,
    CheckpointRecord,
    Create,
    Delete,
    SaveResult,
    Store,
    TruncateLog,
)
from protocols.service.errors import ErrorCode
from protocols.service.sessions import State
from tests.service.store.samples import ENTRIES, JSON_OBJECTS, POSITIONS, RECORDS, advances, told

SESSIONS = st.sampled_from(["a", "b", "c"])
FEW_NAMES = st.sampled_from(["c1", "c2"])
LENGTHS = st.integers(0, 4)
NEW = st.builds(
    dataclasses.replace, RECORDS, session=SESSIONS, client=st.sampled_from(["me", "you"]), key=st.none() | st.just("k")
)
WRITES = (
    st.builds(Create, NEW)
    | advances(SESSIONS)
    | st.builds(AppendEntry, SESSIONS, LENGTHS, ENTRIES)
    | st.builds(TruncateLog, SESSIONS, LENGTHS)
    | st.builds(AddCheckpoint, SESSIONS, FEW_NAMES, st.builds(CheckpointRecord, POSITIONS, LENGTHS))
    | st.builds(SaveResult, SESSIONS, JSON_OBJECTS)
    | st.builds(Delete, SESSIONS)
)
GROUPS = st.lists(st.lists(WRITES, max_size=3), max_size=3)


class Refused(Exception):
    """With the code that the store must give."""


def need(*, holds, otherwise):
    if not holds:
        raise Refused(otherwise)


def after(model, write):
    """The model, {session: (record, result)}, after a change."""
    if isinstance(write, Create):
        new = write.record
        need(holds=new.session not in model, otherwise=ErrorCode.CONFLICT)
        keys = {(record.client, record.key) for record, _ in model.values() if record.key is not None}
        need(holds=(new.client, new.key) not in keys, otherwise=ErrorCode.CONFLICT)
        return model | {new.session: (new, None)}
    need(holds=write.session in model, otherwise=ErrorCode.UNKNOWN_SESSION)
    if isinstance(write, Delete):
        return {name: kept for name, kept in model.items() if name != write.session}
    return model | {write.session: changed(*model[write.session], write)}


def changed(record, result, write):
    changes = {}
    match write:
        case Advance():
            changes = vars(write)
            result = result if write.state is State.ENDED else None
        case AppendEntry(_, place, entry):
            need(holds=place == len(record.log), otherwise=ErrorCode.INTERNAL)
            changes = {"log": (*record.log, entry)}
        case TruncateLog(_, length):
            kept = {name: made for name, made in record.checkpoints.items() if made.log_length <= length}
            changes = {"log": record.log[:length], "checkpoints": kept}
        case AddCheckpoint(_, name, made):
            need(holds=name not in record.checkpoints, otherwise=ErrorCode.CONFLICT)
            changes = {"checkpoints": record.checkpoints | {name: made}}
        case SaveResult(_, result):
            pass
    return dataclasses.replace(record, **changes, has_result=result is not None), result


class Histories(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "sessions.db"
        self.model = {}
        self.open()

    def open(self):
        self.store = Store.open(self.path)
        self.store._db.execute("PRAGMA synchronous = OFF")

    @rule(groups=GROUPS)
    def commit(self, groups):
        expected = [self.expect(group) for group in groups]
        assert [error and error.code for error in self.store.commit(groups)] == expected

    def expect(self, group):
        model = self.model
        try:
            for write in group:
                model = after(model, write)
        except Refused as refused:
            return refused.args[0]
        self.model = model
        return None

    @rule()
    def reopen(self):
        self.store.close()
        self.open()

    @invariant()
    def all_is_there(self):
        loaded = self.store.load_all()
        assert [told(record) for record in loaded] == [told(record) for record, _ in self.model.values()]
        assert {name: self.store.result(name) for name in self.model} == {
            name: result for name, (_, result) in self.model.items()
        }

    def teardown(self):
        assert self.store.integrity_check() == []
        self.store.close()
        self.folder.cleanup()


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=15)
