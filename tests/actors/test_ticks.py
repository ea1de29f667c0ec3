"""When a CPU changes threads: at ticks, and what the change costs, the one to idle included."""

import pytest

from kactors.kernel.accounting import Spent
from protocols.scheduling import Tick
from protocols.tracepoints import RecordDone
from tests.accounting import assert_settled
from tests.actors.scenes import Delivered, Heard, ends, played, spent

MS = 1_000_000


def computing(ns):
    async def work(thread):
        await thread.compute(ns)
        await thread.cpu.sync()
        thread.record_done()

    return work


async def nothing(thread):
    await thread.compute(1)


@pytest.mark.parametrize(("slice_ns", "switches_ns"), [(100_000, [MS, 2 * MS, 3 * MS]), (1_500_000, [2 * MS, 4 * MS])])
def test_the_end_of_a_slice_is_noticed_at_the_next_tick(slice_ns, switches_ns):
    ticks = Delivered(Tick)
    costs = {"tick_ns": MS, "slice_ns": slice_ns, "switch_ns": 0, "idle_exit_ns": 0}
    bodies = (computing(10 * MS), computing(10 * MS))
    machine, _ = played(*bodies, cpus=1, costs=costs, observers=[ticks])
    assert [at_ns for at_ns, _, _ in ticks.all][: len(switches_ns)] == switches_ns
    assert_settled(machine)


def test_a_thread_that_becomes_runnable_after_the_slice_waits_for_a_tick_too():
    """The one that runs has been alone, so the end of its slice has passed unnoticed."""
    heard = Heard(RecordDone)

    async def maps_for_long(thread):
        await thread.mmap(4096)

    async def sleeps_behind_it(thread):
        await thread.compute(10_000)
        assert not await thread.touch(0x1000)
        thread.record_done()

    costs = {"tick_ns": 4 * MS, "slice_ns": 100_000, "map_ns": 11 * MS}
    bodies = (maps_for_long, computing(20 * MS), nothing, sleeps_behind_it)
    machine, _ = played(*bodies, cpus=2, costs=costs, observers=[heard])
    # It gets the CPU first at the tick of 4 ms, sleeps, and is runnable again at 11 ms or so.
    assert 12 * MS <= ends(heard)[4] < 12.1 * MS
    assert_settled(machine)


def test_a_tick_of_zero_notices_it_at_once():
    heard = Heard(RecordDone)
    costs = {"tick_ns": 0, "slice_ns": 100_000}
    machine, _ = played(computing(10 * MS), computing(10_000), cpus=1, costs=costs, observers=[heard])
    assert ends(heard)[2] < 150_000
    assert_settled(machine)


def test_going_idle_is_a_switch_as_well():
    """One thread that is alone on its CPU: a switch to it, and one away from it."""
    costs = []
    for switch_ns in (0, 1_000):
        machine, _ = played(nothing, computing(50_000), cpus=2, costs={"switch_ns": switch_ns})
        costs.append(spent(machine, 1, Spent.SWITCH))
        assert_settled(machine)
    assert costs[1] - costs[0] == 2 * 1_000
