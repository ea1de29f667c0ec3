"""One CPU, several threads: time slices, preemption, sleep and wake, and where the time goes."""

import pytest

from kactors.kernel.accounting import Spent
from protocols.scheduling import Dispatch, Tick
from protocols.tracepoints import IpiServed, MmapSemWait, RecordDone
from tests.accounting import assert_settled
from tests.actors.scenes import PAGE, Delivered, Heard, ends, played, spent

MS = 1_000_000
SLICE = {"slice_ns": MS, "switch_ns": 1_000}


def computing(ns, steps=1):
    async def work(thread):
        for _ in range(steps):
            await thread.compute(ns)
        await thread.cpu.sync()
        thread.record_done()

    return work


@pytest.mark.parametrize(("ns", "steps"), [(10 * MS, 1), (500, 20_000)])
def test_two_threads_share_a_cpu_slice_by_slice(ns, steps):
    heard = Heard(RecordDone)
    machine, _ = played(computing(ns, steps), computing(ns, steps), cpus=1, costs=SLICE, observers=[heard])
    done = ends(heard)
    assert abs(done[1] - done[2]) <= 1.1 * MS, "one thread ran to its end before the other"
    assert spent(machine, 0, Spent.USER) == 20 * MS
    assert 19_000 <= spent(machine, 0, Spent.SWITCH) <= 25_000
    assert_settled(machine)


def test_a_thread_alone_is_never_interrupted_by_the_tick():
    ticks = Delivered(Tick)
    machine, _ = played(computing(50 * MS), computing(50 * MS), cpus=2, costs=SLICE, observers=[ticks])
    assert ticks.all == []
    assert_settled(machine)


def test_a_preempted_thread_goes_on_with_what_is_left_of_its_computation():
    heard = Heard(RecordDone)
    machine, _ = played(computing(5 * MS), computing(MS // 2), cpus=1, costs=SLICE, observers=[heard])
    done = ends(heard)
    start = 2_000 + machine.system.machine.idle_exit_ns
    assert done[2] - start == pytest.approx(1.5 * MS, abs=10_000)
    assert done[1] - start == pytest.approx(5.5 * MS, abs=20_000)
    assert spent(machine, 0, Spent.USER) == 5.5 * MS


def test_computing_in_small_steps_does_not_outrun_virtual_time():
    async def for_ever(thread):
        while True:
            await thread.compute(10)

    _, result = played(for_ever, cpus=1, until_ns=MS)
    assert (result.stop.kind, result.virtual_ns) == ("time", MS)
    assert result.cpu_time[0].user_ns == pytest.approx(MS, rel=0.01)


def test_many_more_threads_than_cpus_all_end():
    async def faulting(thread):
        start = await thread.mmap(20 * PAGE)
        for number in range(20):
            await thread.touch(start + number * PAGE)
            await thread.compute(3_000)
        await thread.munmap(start, 20 * PAGE)
        thread.record_done()

    machine, result = played(*[faulting] * 17, cpus=3, costs={"slice_ns": 10_000})
    assert result.throughput.records == 17
    assert_settled(machine)


def holding_mmap_sem(thread):
    return thread.mmap(PAGE)


LONG_MMAP = {"map_ns": 5 * MS, "slice_ns": MS}


async def map_at_once(thread):
    await holding_mmap_sem(thread)


async def map_a_little_later(thread):
    await thread.compute(10_000)
    await holding_mmap_sem(thread)


async def nothing(thread):
    await thread.compute(1)


def test_a_writer_spins_as_long_as_a_running_writer_holds_the_lock():
    waits = Heard(MmapSemWait)
    machine, _ = played(map_at_once, map_a_little_later, cpus=2, costs=LONG_MMAP, observers=[waits])
    assert [wait.slept for wait in waits.of(MmapSemWait)] == [False, False]
    assert spent(machine, 1, Spent.LOCK_SPIN) == pytest.approx(5 * MS, rel=0.01)
    assert_settled(machine)


def test_a_spinning_writer_whose_slice_is_over_sleeps_and_lets_the_next_thread_run():
    waits, heard = Heard(MmapSemWait), Heard(RecordDone)
    bodies = (map_at_once, map_a_little_later, nothing, computing(MS // 10))
    machine, result = played(*bodies, cpus=2, costs=LONG_MMAP, observers=[waits, heard])
    assert sorted(wait.slept for wait in waits.of(MmapSemWait)) == [False, True]
    assert ends(heard)[4] < 2 * MS, "the other thread of the CPU waited for the spinner"
    assert spent(machine, 1, Spent.LOCK_SPIN) == pytest.approx(MS, rel=0.1)
    assert result.cpu_time[1].lock_sleep_ns == pytest.approx(4 * MS, rel=0.1)
    assert_settled(machine)


def test_a_spinner_that_gets_the_lock_at_the_end_of_its_slice_yields_when_it_returns():
    """The tick finds it spinning, the lock comes before the order to stop does: its slice is over all the same."""

    async def map_then_compute(thread):
        await map_a_little_later(thread)
        await thread.compute(3 * MS)

    costs = {"map_ns": 400_000, "line_cache_ns": 2_000}
    bodies = (map_at_once, map_then_compute, nothing, computing(MS // 10))
    for slice_ns in range(380_000, 430_000, 1_000):
        heard = Heard(RecordDone)
        machine, _ = played(*bodies, cpus=2, costs=costs | {"slice_ns": slice_ns}, observers=[heard])
        assert ends(heard)[4] < 1.6 * MS, f"with slices of {slice_ns} ns the other thread of the CPU waited"
        assert_settled(machine)


def test_a_slice_that_ends_before_the_request_for_the_lock_has_left_ends_the_spinning_as_well():
    """The CPU has computed ahead of virtual time: the order to stop must not overtake the request."""
    heard = Heard(RecordDone)

    async def compute_then_map(thread):
        await thread.compute(15_000)
        await holding_mmap_sem(thread)

    bodies = (map_at_once, compute_then_map, nothing, computing(MS // 10))
    played(*bodies, cpus=2, costs=LONG_MMAP | {"slice_ns": 8_000}, observers=[heard])
    assert ends(heard)[4] < MS


def test_a_slice_that_ends_during_an_interrupt_ends_after_its_handler():
    heard = Heard(RecordDone, IpiServed)

    async def flush(thread):
        await thread.compute(90_000)
        await thread.cpu.flush_tlb(0, PAGE)

    bodies = (flush, computing(2 * MS), nothing, computing(1_000))
    costs = {"slice_ns": 100_000, "ipi_handler_ns": 50_000}
    machine, _ = played(*bodies, cpus=2, costs=costs, observers=[heard])
    served_at_ns = next(at_ns for at_ns, who, entry in heard.all if who == "cpu1" and type(entry) is IpiServed)
    done_at_ns = next(at_ns for at_ns, _, entry in heard.all if type(entry) is RecordDone and entry.thread == 4)
    assert 50_000 <= done_at_ns - served_at_ns <= 55_000
    assert_settled(machine)


def test_a_reader_sleeps_behind_a_writer_and_its_cpu_idles_in_lock_sleep():
    waits = Heard(MmapSemWait)

    async def fault(thread):
        await thread.compute(10_000)
        assert not await thread.touch(0x1000)

    machine, result = played(map_at_once, fault, cpus=2, costs=LONG_MMAP, observers=[waits])
    assert [(wait.write, wait.slept) for wait in waits.of(MmapSemWait)] == [(True, False), (False, True)]
    assert result.cpu_time[1].lock_sleep_ns == pytest.approx(5 * MS, rel=0.01)
    assert result.mmap_sem.read_slept == 1
    assert_settled(machine)


def test_two_wake_ups_of_an_idle_cpu_dispatch_it_once():
    dispatched = Delivered(Dispatch)

    async def fault(thread):
        await thread.compute(10_000)
        await thread.touch(0x1000)

    machine, _ = played(
        map_at_once, fault, nothing, fault, cpus=2, costs=LONG_MMAP | {"wake_ns": 0}, observers=[dispatched]
    )
    late = [at_ns for at_ns, who, _ in dispatched.all if who == "cpu1" and at_ns > MS]
    assert len(late) == 1
    assert_settled(machine)
