"""What the tests of the store share: sessions to write, any and plain, and what of them must come back."""

import dataclasses

from hypothesis import strategies as st

from kactors.service.store import Advance, CheckpointRecord, SessionRecord
from protocols.scenario import Bounds, Khugepaged, OnLimit, Scenario
from protocols.service.commands import (
    Entry,
    Inject,
    InjectCollapse,
    InjectFault,
    InjectMemoryPressure,
    InjectMunmap,
    InjectStarvedCpu,
    Position,
    SetBound,
    SetPolicy,
)
from protocols.service.sessions import State
from protocols.stop import (
    BoundExceeded,
    Deadlock,
    EventLimit,
    PredicateHeld,
    Quiescent,
    TimeReached,
    Violation,
    WaitEdge,
)

NATURALS = st.integers(0, 2**62)
POSITIVES = st.integers(1, 2**62)
TEXTS = st.text(max_size=12)
NAMES = st.text(min_size=1, max_size=12)
CPUS = st.integers(0, 4095)
ADDRESSES = st.integers(0, 2**48 - 1)
DURATIONS = st.integers(1, 2**40)

POSITIONS = st.builds(Position, events=NATURALS, now_ns=NATURALS, fingerprint=TEXTS)

INJECTIONS = (
    st.builds(InjectFault, cpu=CPUS, address=ADDRESSES, write=st.booleans())
    | st.builds(InjectFault, cpu=CPUS, address=ADDRESSES)
    | st.builds(InjectMunmap, cpu=CPUS, address=ADDRESSES, length=POSITIVES)
    | st.builds(InjectCollapse, address=ADDRESSES)
    | st.builds(InjectMemoryPressure, pages=POSITIVES, duration_ns=DURATIONS)
    | st.builds(InjectStarvedCpu, cpu=CPUS, duration_ns=DURATIONS)
)
BOUNDS_TO_SET = st.fixed_dictionaries(
    {},
    optional={
        "spf_inflight_max": st.none() | POSITIVES,
        "spf_inflight_scope": st.sampled_from(["machine", "mm", "cpu", "address"]),
        "on_limit": st.sampled_from(OnLimit),
        "transient_pages_max": st.none() | NATURALS,
        "ipi_wait_max_ns": st.none() | NATURALS,
    },
).map(lambda given: SetBound(**given))
COMMANDS = st.builds(Inject, injection=INJECTIONS) | BOUNDS_TO_SET | st.builds(SetPolicy, policy=TEXTS)
ENTRIES = st.builds(Entry, at=POSITIONS, command=COMMANDS)

SCENARIOS = st.builds(
    Scenario,
    workload=TEXTS,
    options=st.dictionaries(TEXTS, st.booleans() | st.integers() | TEXTS, max_size=3),
    policy=TEXTS,
    machine=TEXTS,
    costs=st.dictionaries(TEXTS, st.integers(), max_size=3),
    cpus=st.none() | st.integers(1, 4096),
    threads=st.none() | st.integers(1, 65536),
    seed=st.integers(),
    until_ns=st.none() | st.integers(1),
    events_max=st.none() | st.integers(1),
    bounds=st.builds(
        Bounds,
        spf_inflight_max=st.none() | st.integers(1),
        spf_inflight_scope=st.sampled_from(["machine", "mm", "cpu", "address"]),
        on_limit=st.sampled_from(OnLimit),
        transient_pages_max=st.none() | st.integers(0),
        ipi_wait_max_ns=st.none() | st.integers(0),
    ),
    khugepaged=st.builds(Khugepaged, scan_sleep_millisecs=st.integers(0, 2**32 - 1), fault_huge=st.booleans()),
)

EDGES = st.builds(WaitEdge, waiter=TEXTS, resource=TEXTS, holder=TEXTS, since=NATURALS, why=TEXTS)
STOPS = (
    st.builds(TimeReached, at=NATURALS)
    | st.builds(EventLimit, events=NATURALS)
    | st.just(PredicateHeld())
    | st.just(Quiescent())
    | st.builds(Deadlock, cycle=st.lists(EDGES, max_size=2).map(tuple), waits=st.lists(EDGES, max_size=2).map(tuple))
    | st.builds(Violation, property=TEXTS, text=TEXTS, story=st.lists(TEXTS, max_size=2).map(tuple))
    | st.builds(BoundExceeded, bound=TEXTS, limit=NATURALS, value=NATURALS, cause=TEXTS)
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXTS, inside, max_size=3),
    max_leaves=6,
)
JSON_OBJECTS = st.dictionaries(TEXTS, JSON, max_size=3)
WIRE_ERRORS = st.tuples(st.integers(100, 699), TEXTS, JSON_OBJECTS).map(list)

CHECKPOINTS = st.builds(CheckpointRecord, POSITIONS, NATURALS)

RECORDS = st.builds(
    SessionRecord,
    session=NAMES,
    client=NAMES,
    key=st.none() | NAMES,
    request=st.none() | JSON_OBJECTS,
    scenario=SCENARIOS,
    build=TEXTS,
    created_at=st.floats(allow_nan=False, allow_infinity=False),
    state=st.sampled_from(State),
    sequence=NATURALS,
    position=POSITIONS,
    goal_ns=st.none() | NATURALS,
    goal_events=st.none() | NATURALS,
    stop=st.none() | STOPS,
    error=st.none() | WIRE_ERRORS,
    wall_ns=NATURALS,
    forked_from=st.none() | NAMES,
    log=st.lists(ENTRIES, max_size=3).map(tuple),
    checkpoints=st.dictionaries(NAMES, CHECKPOINTS, max_size=3),
)


def advances(names):
    """Any Advance of one of these sessions."""
    return st.builds(
        Advance,
        session=names,
        sequence=NATURALS,
        position=POSITIONS,
        state=st.sampled_from(State),
        goal_ns=st.none() | NATURALS,
        goal_events=st.none() | NATURALS,
        stop=st.none() | STOPS,
        error=st.none() | WIRE_ERRORS,
        wall_ns=NATURALS,
    )


def at(events):
    """A plain position."""
    return Position(events=events, now_ns=10 * events, fingerprint=f"{events:016x}")


def entry(events):
    """A plain command, given there."""
    return Entry(at=at(events), command=SetBound(spf_inflight_max=events + 1))


def plain(session, **changes):
    """A plain session."""
    record = SessionRecord(
        session=session, client="probe", scenario=Scenario(seed=7), build="b1", created_at=1.5e9, position=at(0)
    )
    return dataclasses.replace(record, **changes)


def advance(record, **changes):
    """The Advance after which a session stands as a record says, changed so."""
    names = {field.name for field in dataclasses.fields(Advance)}
    return Advance(**({name: value for name, value in vars(record).items() if name in names} | changes))


def told(record):
    """All that a record says, also which keys of its commands were given and which only have defaults."""
    keys = [each.model_dump_json(exclude_unset=True) for each in record.log]
    return record, keys, list(record.checkpoints)
