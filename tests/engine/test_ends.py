"""How a run ends: who has the last word, and who is to blame when somebody raises."""

import pytest
import trio

from kactors.engine.choices import FirstChoice, ReplayDiverged, ReplayedChoices
from kactors.engine.engine import Engine, Limits
from kactors.engine.errors import ActorCrash, ModelError
from kactors.engine.inline_runtime import run_inline
from kactors.engine.observer import Observer
from kactors.engine.trio_runtime import run_trio
from protocols.stop import Violation
from tests.engine.actors import Desk, Happened, Note, Question, Sink, Unsaid, Worker

RUNTIMES = {"inline": run_inline, "trio": lambda engine: trio.run(run_trio, engine)}


class Judge(Observer):
    """Speaks at the end only."""

    def finish(self, at_ns):
        return Violation(property="tested", text=f"at {at_ns}")


def test_an_observers_finding_at_quiescence_is_the_reason():
    machine = Engine(FirstChoice())
    machine.observe(Observer())
    machine.observe(Judge())
    machine.post(5, sink := Sink(machine, "sink"), sink, Note(number=0))
    run_inline(machine)
    assert (machine.stop.kind, machine.stop.text) == ("violation", "at 5")


def test_a_deadlock_and_a_limit_are_not_overruled_by_such_a_finding():
    async def body(me):
        await me.ask(desk, Question(number=-1))

    machine = Engine(FirstChoice())
    machine.observe(Judge())
    desk = Desk(machine, "desk")
    worker = Worker(machine, "worker", body)
    machine.post(10, worker, desk, Note(number=0))
    run_inline(machine)
    assert machine.stop.kind == "deadlock"
    worker.close()

    machine = Engine(FirstChoice(), Limits(until_ns=3))
    machine.observe(Judge())
    machine.post(5, sink := Sink(machine, "sink"), sink, Note(number=0))
    run_inline(machine)
    assert machine.stop.kind == "time"


def test_the_first_reason_stays_and_a_stopped_machine_delivers_nothing():
    machine = Engine(FirstChoice(), Limits(events=0))
    machine.post(5, sink := Sink(machine, "sink"), sink, Note(number=0))
    run_inline(machine)
    assert (machine.stop.kind, machine.events) == ("events", 0)
    machine.halt(Violation(property="tested", text="too late"))
    run_inline(machine)
    assert (machine.stop.kind, sink.heard) == ("events", [])


@pytest.mark.parametrize("events", [1, 63, 64, 65, 128, 200])
def test_a_limit_of_events_is_met_exactly(events):
    machine = Engine(FirstChoice(), Limits(events=events))
    sink = Sink(machine, "sink")
    for number in range(300):
        machine.post(number // 3, sink, sink, Note(number=number))
    run_inline(machine)
    assert (machine.stop.kind, machine.events, len(sink.heard)) == ("events", events, events)


class Failing(Observer):
    """Cannot write its file."""

    def tracepoints(self):
        return {Happened: self._fail}

    def deliveries(self):
        return lambda event: event[4].number == 2 and self._fail()

    def _fail(self, *_):
        raise OSError("no space left")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_observer_that_raises_is_not_an_actors_crash(runtime):
    machine = Engine(FirstChoice())
    machine.observe(Failing())
    sink = Sink(machine, "sink")
    for number in range(4):
        machine.post(number, sink, sink, Note(number=number))
    with pytest.raises(OSError, match="no space left"):
        RUNTIMES[runtime](machine)
    assert len(sink.heard) == 2

    machine = Engine(FirstChoice())
    machine.observe(Failing())
    sink = Sink(machine, "sink", lambda me, _note: machine.emit(9, me, Happened(number=1)))
    machine.post(0, sink, sink, Note(number=0))
    with pytest.raises(OSError, match="no space left"):
        RUNTIMES[runtime](machine)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_replay_that_diverges_at_a_tie_says_so(runtime):
    machine = Engine(ReplayedChoices([("other", 2, 0)]))
    sink, one, other = (Sink(machine, name) for name in ("sink", "one", "other"))
    machine.post(0, sink, sink, Note(number=0))
    machine.post(1, sink, one, Note(number=1))
    machine.post(1, sink, other, Note(number=2))
    with pytest.raises(ReplayDiverged, match=r"asks for \('tie', 2\)"):
        RUNTIMES[runtime](machine)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_crash_keeps_its_cause(runtime):
    machine = Engine(FirstChoice())
    sink = Sink(machine, "sink", lambda _me, note: 1 // note.number)
    machine.post(3, sink, sink, Note(number=0))
    with pytest.raises(ActorCrash) as caught:
        RUNTIMES[runtime](machine)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# --- what an actor may not do ----------------------------------------------------------------------------------------


def at_ten(act) -> str:
    """Run ``act`` in an actor at 10 ns and return the text of the ModelError that it raises."""
    machine = Engine(FirstChoice())
    sink = Sink(machine, "sink", act)
    machine.post(10, sink, sink, Note(number=0))
    with pytest.raises(ActorCrash) as caught:
        run_inline(machine)
    assert isinstance(caught.value.__cause__, ModelError)
    return str(caught.value.__cause__)


@pytest.mark.parametrize("post", ["post", "post_background"])
def test_no_way_of_posting_leads_into_the_past_or_around_the_declaration(post):
    def past(me, _note):
        getattr(me.engine, post)(9, me, me, Note(number=1))

    def undeclared(me, _note):
        getattr(me.engine, post)(11, me, me, Unsaid())

    assert at_ten(past) == "sink posts Note at 9 ns, before now (10)"
    assert at_ten(undeclared) == "sink may not say Unsaid: its role does not declare it"


def test_an_event_is_not_moved_into_the_past():
    def move(me, _note):
        me.engine.post_again(me.engine.post(20, me, me, Note(number=1)), 9)

    assert at_ten(move) == "sink posts Note at 9 ns, before now (10)"


def test_a_client_can_take_back_what_has_not_left():
    async def body(me):
        me.spend(100)
        me.say(sink, Note(number=1))
        me.say(sink, Note(number=2))
        me.withdraw(me._outbox[0])

    machine = Engine(FirstChoice())
    sink = Sink(machine, "sink")
    worker = Worker(machine, "worker", body)
    machine.post(10, worker, sink, Note(number=0))
    run_inline(machine)
    assert sink.heard == [(110, "worker", 2)]
    with pytest.raises(ModelError, match="no such event to cancel"):
        machine.cancel((5, sink, worker, 0, Note(number=2)))
