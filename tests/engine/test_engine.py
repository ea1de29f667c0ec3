"""Time, order, limits, observers."""

import pytest
from hypothesis import given, strategies as st

from kactors.engine.choices import FirstChoice, SeededChoices
from kactors.engine.engine import Engine, Limits
from kactors.engine.errors import ActorCrash, IllegalMessage, ModelError
from kactors.engine.inline_runtime import run_inline
from kactors.engine.observer import Observer
from protocols.stop import Violation
from tests.engine.actors import Desk, Happened, Note, Question, Sink, Unsaid, Worker


def engine(limits: Limits | None = None, choices=None) -> Engine:
    return Engine(choices or FirstChoice(), limits or Limits())


@given(st.lists(st.integers(0, 50)))
def test_deliveries_come_in_the_order_of_time_and_within_an_instant_of_posting(times):
    machine = engine()
    sink, sender = Sink(machine, "sink"), Sink(machine, "sender")
    for number, at_ns in enumerate(times):
        machine.post(at_ns, sink, sender, Note(number=number))
    run_inline(machine)
    assert [(at, number) for at, _, number in sink.heard] == sorted((at, n) for n, at in enumerate(times))
    assert machine.events == len(times)
    assert machine.stop.kind == "quiescent"


@given(st.integers(), st.lists(st.integers(0, 3), max_size=30))
def test_simultaneous_arrivals_keep_the_order_of_each_sender(seed, senders):
    machine = engine(choices=SeededChoices(seed))
    sink = Sink(machine, "sink")
    parties = [Sink(machine, str(number)) for number in range(4)]
    for number, sender in enumerate(senders):
        machine.post(9, sink, parties[sender], Note(number=number))
    run_inline(machine)
    for party in parties:
        mine = [number for _, name, number in sink.heard if name == party.name]
        assert mine == sorted(mine)
    assert len(sink.heard) == len(senders)


def test_choices_decide_between_simultaneous_senders():
    def first(seed: int) -> str:
        machine = engine(choices=SeededChoices(seed))
        sink = Sink(machine, "sink")
        for name in "ab":
            machine.post(9, sink, Sink(machine, name), Note(number=0))
        run_inline(machine)
        return sink.heard[0][1]

    assert {first(seed) for seed in range(20)} == {"a", "b"}


def test_what_is_posted_for_this_very_instant_comes_last():
    machine = engine()
    sink = Sink(machine, "sink", lambda me, note: note.number == 0 and machine.post(5, me, me, Note(number=9)))
    for number in (0, 1):
        machine.post(5, sink, sink, Note(number=number))
    run_inline(machine)
    assert [number for _, _, number in sink.heard] == [0, 1, 9]


def test_the_past_and_the_undeclared_are_refused():
    machine = engine()
    sink = Sink(machine, "sink", lambda me, _: machine.post(3, me, me, Note(number=1)))
    machine.post(4, sink, sink, Note(number=0))
    with pytest.raises(ActorCrash) as caught:
        run_inline(machine)
    assert isinstance(caught.value.__cause__, ModelError)
    assert "before now (4)" in str(caught.value.__cause__)
    with pytest.raises(ModelError, match="may not say Unsaid"):
        machine.post(9, sink, sink, Unsaid())


def test_an_illegal_message_is_told_with_its_sender():
    machine = engine()
    desk = Desk(machine, "desk")
    machine.post(1, desk, Sink(machine, "sender"), Note(number=3))
    with pytest.raises(ActorCrash) as caught:
        run_inline(machine)
    assert isinstance(caught.value.__cause__, IllegalMessage)
    assert "desk does not accept Note(number=3) from sender" in str(caught.value.__cause__)


def test_a_cancelled_event_is_never_delivered_and_a_moved_one_later():
    machine = engine()
    sink = Sink(machine, "sink")
    gone = machine.post(5, sink, sink, Note(number=1))
    moved = machine.post(5, sink, sink, Note(number=2))
    machine.post(6, sink, sink, Note(number=3))
    machine.cancel(gone)
    machine.post_again(moved, 7)
    run_inline(machine)
    assert [(at, number) for at, _, number in sink.heard] == [(6, 3), (7, 2)]
    with pytest.raises(ModelError, match="no such event"):
        machine.cancel(gone)


def test_an_event_of_the_present_instant_can_be_cancelled():
    machine = engine()
    events = []
    sink = Sink(machine, "sink", lambda _me, note: note.number == 0 and machine.cancel(events[1]))
    events.extend(machine.post(5, sink, sink, Note(number=number)) for number in range(3))
    run_inline(machine)
    assert [number for _, _, number in sink.heard] == [0, 2]


def ticking(limits: Limits) -> tuple[Engine, Sink]:
    machine = engine(limits)
    sink = Sink(
        machine, "sink", lambda me, note: machine.post(machine.now_ns + 10, me, me, Note(number=note.number + 1))
    )
    machine.post(0, sink, sink, Note(number=0))
    return machine, sink


def test_limits_stop_with_typed_reasons():
    machine, sink = ticking(Limits(until_ns=35))
    run_inline(machine)
    assert (machine.stop.kind, machine.stop.at, machine.now_ns, len(sink.heard)) == ("time", 35, 35, 4)
    machine, sink = ticking(Limits(events=7))
    run_inline(machine)
    assert (machine.stop.kind, machine.stop.events, len(sink.heard)) == ("events", 7, 7)
    seen: list[int] = []
    machine, sink = ticking(Limits(predicate=lambda: len(seen) == 3 or bool(seen.append(1))))
    run_inline(machine)
    assert (machine.stop.kind, len(sink.heard)) == ("predicate", 4)
    assert not machine.stop.finding


def test_a_daemons_timer_keeps_no_machine_alive():
    machine = engine()
    sink = Sink(machine, "sink")
    machine.post(10, sink, sink, Note(number=1))
    for at_ns in (5, 500):
        machine.post_background(at_ns, sink, sink, Note(number=at_ns))
    run_inline(machine)
    assert [number for _, _, number in sink.heard] == [5, 1]
    assert machine.stop.kind == "quiescent"


class Watcher(Observer):
    def __init__(self, verdict=None):
        self.seen: list[tuple[int, str, int]] = []
        self._verdict = verdict

    def tracepoints(self):
        return {Happened: self._hear}

    def _hear(self, at_ns, who, happened):
        self.seen.append((at_ns, who, happened.number))
        return self._verdict


def test_tracepoints_are_heard_in_the_order_of_time():
    machine = engine()
    machine.observe(watcher := Watcher())
    sink = Sink(machine, "sink", lambda me, note: machine.emit(note.number, me, Happened(number=note.number)))
    for at_ns, when in ((1, 40), (2, 20), (3, 3)):
        machine.post(at_ns, sink, sink, Note(number=when))
    run_inline(machine)
    assert watcher.seen == [(3, "sink", 3), (20, "sink", 20), (40, "sink", 40)]
    assert machine.listens(Happened)
    assert not engine().listens(Happened)


def test_observers_change_neither_the_count_nor_the_fingerprint():
    def fingerprint(watch: bool) -> tuple[str, int]:
        machine = engine(Limits(until_ns=500))
        if watch:
            machine.observe(Watcher())
        sink = Sink(machine, "sink")
        for number in range(300):
            machine.post(number, sink, sink, Note(number=number))
            machine.emit(number + 1, sink, Happened(number=number))
        run_inline(machine)
        return machine.fingerprint(), machine.events

    assert fingerprint(watch=True) == fingerprint(watch=False)


def test_a_finding_stops_the_run_at_once():
    machine = engine()
    machine.observe(Watcher(Violation(property="tested", text="it happened")))
    sink = Sink(machine, "sink", lambda me, _: machine.emit(machine.now_ns, me, Happened(number=1)))
    for at_ns in (1, 2, 3):
        machine.post(at_ns, sink, sink, Note(number=0))
    run_inline(machine)
    assert (machine.stop.property, len(sink.heard)) == ("tested", 1)
    assert machine.stop.finding


def test_the_fingerprint_tells_runs_apart_by_time_party_and_content():
    def fingerprint(at_ns: int, number: int, name: str) -> str:
        machine = engine()
        parties = {other: Sink(machine, other) for other in ("one", "two")}
        machine.post(at_ns, parties[name], parties["one"], Note(number=number))
        run_inline(machine)
        return machine.fingerprint()

    base = fingerprint(1, 1, "one")
    assert fingerprint(1, 1, "one") == base
    assert len({base, fingerprint(2, 1, "one"), fingerprint(1, 2, "one"), fingerprint(1, 1, "two")}) == 4


def test_the_story_tells_the_last_deliveries_in_order():
    machine = engine()
    sink = Sink(machine, "sink")
    for number in range(1_000):
        machine.post(number, sink, sink, Note(number=number))
    run_inline(machine)
    story = machine.story()
    assert 50 <= len(story) <= 1_000
    assert story[-1].endswith("Note(number=999)")
    assert [int(line.split()[0]) for line in story] == list(range(1_000 - len(story), 1_000))


def test_a_clients_words_leave_at_its_own_clock_and_its_questions_are_answered():
    async def body(me):
        me.spend(100)
        me.say(sink, Note(number=1))
        me.spend(50)
        answer = await me.ask(desk, Question(number=30))
        heard.append((me.clock_ns, answer.number))

    heard: list[tuple[int, int]] = []
    machine = engine()
    desk, sink = Desk(machine, "desk"), Sink(machine, "sink")
    worker = Worker(machine, "worker", body)
    machine.post(10, worker, sink, Note(number=0))
    run_inline(machine)
    assert sink.heard == [(110, "worker", 1)]
    assert heard == [(190, 31)]


def test_shifting_delays_only_what_has_not_left():
    async def body(me):
        for number in (100, 200, 300):
            me.clock_ns = number
            me.say(sink, Note(number=number))
        me.shift(200, 7)
        assert me.clock_ns == 307

    machine = engine()
    sink = Sink(machine, "sink")
    machine.post(10, Worker(machine, "worker", body), sink, Note(number=0))
    run_inline(machine)
    assert [at for at, _, _ in sink.heard] == [100, 207, 307]


def test_a_question_without_an_answer_is_a_deadlock_that_names_it():
    async def body(me):
        await me.ask(desk, Question(number=-1))

    machine = engine()
    desk = Desk(machine, "desk")
    worker = Worker(machine, "worker", body)
    machine.post(10, worker, desk, Note(number=0))
    run_inline(machine)
    assert machine.stop.kind == "deadlock"
    (edge,) = machine.stop.waits
    assert (edge.waiter, edge.resource, edge.holder) == ("worker", "Question at desk", "desk")
    assert machine.stop.cycle == ()
    worker.close()
