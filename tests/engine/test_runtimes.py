"""The Trio runtime lives among its host's tasks; a crash surfaces as one exception on both runtimes."""

import pytest
import trio

from kactors import Machine, Scenario
from kactors.engine.choices import FirstChoice
from kactors.engine.engine import Engine, Limits
from kactors.engine.errors import ActorCrash
from kactors.engine.inline_runtime import run_inline
from kactors.engine.trio_runtime import run_trio
from tests.engine.actors import Note, Sink


def ring(limits: Limits, react=None) -> tuple[Engine, list[Sink]]:
    """Actors that pass a growing number around; ``react`` may interfere."""
    machine = Engine(FirstChoice(), limits)
    sinks: list[Sink] = []

    def pass_on(me, note):
        if react is not None:
            react(machine, me, note)
        following = sinks[(sinks.index(me) + 1) % 3]
        machine.post(machine.now_ns + 1, following, me, Note(number=note.number + 1))

    sinks.extend(Sink(machine, f"sink{number}", pass_on) for number in range(3))
    machine.post(0, sinks[0], sinks[0], Note(number=0))
    return machine, sinks


def crash_at(number):
    def react(_machine, me, note):
        if note.number == number:
            raise ZeroDivisionError(me.name)

    return react


def check_crash(error: ActorCrash) -> None:
    assert (error.actor, error.message, error.at_ns) == ("sink1", "Note(number=40)", 40)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert error.story[-1].endswith("Note(number=40)")
    assert "sink1 crashed on Note(number=40) at 40 ns" in str(error)


def test_a_crash_is_one_exception_with_its_story_inline():
    machine, _ = ring(Limits(), crash_at(40))
    with pytest.raises(ActorCrash) as caught:
        run_inline(machine)
    check_crash(caught.value)


async def test_a_crash_cancels_the_machine_and_is_one_exception_on_trio():
    machine, sinks = ring(Limits(), crash_at(40))
    with pytest.raises(ActorCrash) as caught:
        await run_trio(machine)
    check_crash(caught.value)
    assert sum(len(sink.heard) for sink in sinks) == 41


async def test_both_runtimes_deliver_the_same():
    inline, _ = ring(Limits(events=1_000))
    run_inline(inline)
    machine, _ = ring(Limits(events=1_000))
    await run_trio(machine)
    assert machine.fingerprint() == inline.fingerprint()


async def test_the_hosts_other_tasks_get_their_turn():
    machine, _ = ring(Limits(events=2_000))
    turns = 0

    async def other(scope: trio.CancelScope) -> None:
        nonlocal turns
        with scope:
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(other, scope)
        await run_trio(machine)
        scope.cancel()
    assert turns > 500


async def test_a_machine_can_be_abandoned():
    machine, sinks = ring(Limits())
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_trio, machine)
            while len(sinks[0].heard) < 100:
                await trio.lowlevel.checkpoint()
            scope.cancel()
    assert scope.cancelled_caught
    assert machine.stop is None


async def test_a_lonely_actor_that_writes_to_itself_can_be_abandoned_too():
    machine = Engine(FirstChoice(), Limits())
    sink = Sink(machine, "sink", lambda me, note: machine.post(machine.now_ns + 1, me, me, note))
    machine.post(0, sink, sink, Note(number=0))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_trio, machine)
            while len(sink.heard) < 100:
                await trio.lowlevel.checkpoint()
            scope.cancel()
    assert scope.cancelled_caught


async def test_an_actor_born_while_the_machine_runs_gets_its_task():
    born: list[Sink] = []

    def react(machine, _me, note):
        if note.number == 10:
            born.append(Sink(machine, "newcomer"))
            machine.post(machine.now_ns, born[0], born[0], Note(number=99))

    machine, _ = ring(Limits(events=50), react)
    await run_trio(machine)
    assert born[0].heard == [(10, "newcomer", 99)]


async def test_a_machine_runs_inside_a_trio_program():
    scenario = Scenario(machine="small", until_ns=500_000)
    result = await Machine(scenario).run_async()
    assert result.fingerprint == Machine(scenario).run().fingerprint
