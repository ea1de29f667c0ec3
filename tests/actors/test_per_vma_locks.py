"""Per-VMA locks (protocols.md H1 to H8): who waits for whom, what is counted, what a write lock covers."""

import pytest

from kactors.kernel.accounting import Spent
from protocols.host import StealCpu
from protocols.tracepoints import CollapseDone, FaultDone, MmapSemWait, SyscallDone
from tests.accounting import assert_settled
from tests.actors.programs import later, one_write, with_history
from tests.actors.scenes import BASE, PAGE, PMD, Heard, Hypervisor, played, scene, spent, wait_until

MS = 1_000_000
SLOW_ZEROING = {"clear_page_ns": MS, "slice_ns": 10 * MS}


def vmstat(result):
    return {name: count for name, count in result.vmstat.items() if name.startswith("vma_lock")}


def test_an_ordinary_fault_takes_only_its_areas_lock():
    bodies = (one_write, later(lambda thread: thread.touch(BASE + PAGE), 1))
    _, result = played(*bodies, policy="per-vma", set_up=with_history)
    assert result.fault_paths["vma_lock"] == 2
    assert vmstat(result)["vma_lock_success"] == 2


def test_the_first_fault_of_an_area_needs_mmap_lock():
    async def own_area(thread):
        start = await thread.mmap(2 * PAGE)
        await thread.touch(start)
        await thread.touch(start + PAGE)

    _, result = played(own_area, policy="per-vma")
    assert vmstat(result) == {"vma_lock_retry": 1, "vma_lock_success": 1}
    assert result.fault_paths == {"classic": 1, "vma_lock": 1}


def test_a_hole_is_an_abort_and_then_a_segfault():
    async def bad(thread):
        assert not await thread.touch(0x1000)

    _, result = played(bad, policy="per-vma")
    assert vmstat(result) == {"vma_lock_abort": 1}
    assert result.fault_paths == {"sigsegv": 1}


def test_a_bad_access_is_judged_under_mmap_lock():
    async def write_to_read_only(thread):
        await thread.touch(BASE)
        await thread.mprotect(BASE, PAGE, writable=False)
        assert not await thread.touch(BASE)

    _, result = played(write_to_read_only, policy="per-vma", set_up=with_history)
    assert vmstat(result)["vma_lock_retry"] == 2
    assert result.fault_paths["sigsegv"] == 1


CHANGES = {
    "munmap": lambda thread: thread.munmap(BASE + 5 * PAGE, PAGE),
    "mprotect": lambda thread: thread.mprotect(BASE + 5 * PAGE, PAGE, writable=False),
    "mmap beside": lambda thread: thread.mmap(PAGE, address=BASE + 10 * PAGE),
    "hugepage": lambda thread: thread.madvise_hugepage(BASE, PAGE),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_writer_sleeps_until_the_readers_of_its_areas_are_gone(change):
    heard = Heard(SyscallDone, FaultDone)
    bodies = (one_write, later(CHANGES[change]))
    machine, result = played(*bodies, policy="per-vma", set_up=with_history, costs=SLOW_ZEROING, observers=[heard])
    order = [type(tracepoint) for _, who, tracepoint in heard.all if who in {"cpu0", "cpu1"}][-2:]
    assert order == [FaultDone, SyscallDone]
    assert heard.of(SyscallDone)[-1].duration > 0.9 * MS
    assert result.cpu_time[1].lock_sleep_ns > 0.9 * MS
    assert_settled(machine)


def test_a_change_far_away_waits_for_nobody():
    heard = Heard(SyscallDone)
    bodies = (one_write, later(lambda thread: thread.mmap(PAGE, address=BASE + 100 * PAGE)))
    played(*bodies, policy="per-vma", set_up=with_history, costs=SLOW_ZEROING, observers=[heard])
    assert heard.of(SyscallDone)[-1].duration < 10_000


def test_a_fault_under_a_writer_aborts_and_waits_for_mmap_lock():
    waits = Heard(MmapSemWait)
    bodies = (CHANGES["mmap beside"], later(one_write, 100_000))
    costs = {"vma_adjust_ns": MS}
    machine, result = played(*bodies, policy="per-vma", set_up=with_history, costs=costs, observers=[waits])
    assert vmstat(result)["vma_lock_abort"] == 1
    assert result.fault_paths["classic"] == 2
    read = [wait for wait in waits.of(MmapSemWait) if not wait.write]
    assert (read[-1].slept, read[-1].wait > 0.8 * MS) == (True, True)
    assert_settled(machine)


async def reader_inside(thread):
    await wait_until(thread, 48_000)
    await thread.touch(BASE + PAGE)


@pytest.mark.parametrize("others", [[], [reader_inside]], ids=["alone", "with a reader inside"])
def test_every_fault_is_counted_once_wherever_a_writer_comes_between_walk_and_lock(others):
    """A writer owns the VMA by then or waits for it: an abort. It has left the tree: a miss, and the walk once more."""
    found = set()

    async def map_anew(thread):
        await wait_until(thread, 50_000)
        await thread.munmap(BASE, 5 * PAGE)
        await thread.mmap(5 * PAGE, address=BASE)

    async def fault_at_49_us(thread):
        await wait_until(thread, 49_000)
        await thread.touch(BASE)

    for until_ns in range(50_000, 56_000, 200):
        bodies = (map_anew, fault_at_49_us, *others)
        machine = scene(*bodies, cpus=3, policy="per-vma", set_up=with_history, costs={"clear_page_ns": 4_000})
        hypervisor = Hypervisor(machine.system.engine, 3)
        hypervisor.say(49_330, machine.system.cpus[1], StealCpu(duration=until_ns - 49_330))
        result = machine.run()
        counts = vmstat(result)
        found.add(frozenset(counts) - {"vma_lock_success", "vma_lock_retry"})
        assert sum(counts.values()) - counts.get("vma_lock_miss", 0) == result.counters.faults
        assert_settled(machine)
    assert frozenset({"vma_lock_abort" if others else "vma_lock_miss"}) in found


def test_new_readers_stay_out_while_a_writer_waits_for_the_old_ones():
    """Else a row of readers would keep it out for ever."""

    async def another_page(thread):
        await thread.compute(200_000)
        await thread.touch(BASE + PAGE)

    bodies = (one_write, later(CHANGES["munmap"]), another_page)
    machine, result = played(*bodies, cpus=3, policy="per-vma", set_up=with_history, costs=SLOW_ZEROING)
    assert vmstat(result)["vma_lock_abort"] == 1
    assert_settled(machine)


def test_several_readers_have_to_go_before_the_writer_comes():
    async def another_page(thread):
        await thread.compute(20_000)
        await thread.touch(BASE + PAGE)

    heard = Heard(SyscallDone)
    bodies = (one_write, another_page, later(CHANGES["munmap"]))
    machine, result = played(
        *bodies, cpus=3, policy="per-vma", set_up=with_history, costs=SLOW_ZEROING, observers=[heard]
    )
    assert vmstat(result)["vma_lock_success"] == 2
    assert heard.of(SyscallDone)[-1].duration > 0.96 * MS
    assert_settled(machine)


def test_an_owner_of_mmap_sem_that_waits_for_readers_sends_the_spinners_to_sleep():
    waits = Heard(MmapSemWait)
    spinner = later(lambda thread: thread.mmap(PAGE), 51_000)
    bodies = (one_write, later(CHANGES["munmap"]), spinner)
    machine, _ = played(*bodies, cpus=3, policy="per-vma", set_up=with_history, costs=SLOW_ZEROING, observers=[waits])
    assert waits.of(MmapSemWait)[-1].slept
    assert spent(machine, 2, Spent.LOCK_SPIN) < 0.1 * MS
    assert_settled(machine)


def test_nobody_spins_on_khugepaged_while_it_waits_for_readers():
    collapses, waits = Heard(CollapseDone), Heard(MmapSemWait)

    async def set_up(thread):
        await thread.mmap(PMD, address=BASE)
        await thread.madvise_hugepage(BASE, PMD)
        await thread.touch(BASE)

    async def slow_fault(thread):
        await wait_until(thread, 9.5 * MS)
        await thread.touch(BASE + PAGE)

    async def spinner(thread):
        await wait_until(thread, 10.2 * MS)
        await thread.mmap(PAGE)

    costs = SLOW_ZEROING | {"clear_huge_ns": 0}
    machine, _ = played(
        slow_fault,
        spinner,
        policy="per-vma",
        set_up=set_up,
        collapse_ms=10,
        costs=costs,
        observers=[collapses, waits],
    )
    assert [done.status for done in collapses.of(CollapseDone)] == ["succeeded"]
    writers = [wait for _, who, wait in waits.all if wait.write and who == "cpu1"]
    assert writers[-1].slept
    assert spent(machine, 1, Spent.LOCK_SPIN) < 0.01 * MS
    assert_settled(machine)


def test_munmap_clears_page_tables_as_a_reader_only():
    """Since 4.20: another thread's fault elsewhere takes mmap_lock while the long zap is still under way."""

    async def unmap_much(thread):
        for page in range(200):
            await thread.touch(BASE + PMD + page * PAGE)
        await thread.compute(10)
        await thread.munmap(BASE + PMD, 200 * PAGE)

    async def set_up(thread):
        await with_history(thread)
        await thread.mmap(200 * PAGE, address=BASE + PMD)

    costs = {"zap_pte_ns": 10_000}
    for policy, waits in (("per-vma", False), ("classic", True)):
        heard = Heard(FaultDone)
        bodies = (unmap_much, later(lambda thread: thread.touch(0x1000), 500_000))
        machine, _ = played(*bodies, policy=policy, set_up=set_up, costs=costs, observers=[heard])
        duration = next(done.duration for _, who, done in heard.all if done.path == "sigsegv")
        assert (duration > 100_000) == waits, policy
        assert_settled(machine)


def test_a_write_locks_end_with_mmap_lock():
    machine = scene(CHANGES["mprotect"], set_up=with_history, policy="per-vma")
    machine.run()
    mm = machine.system.mm
    assert all(vma.locked_at < mm.lock_sequence for vma in mm.tree)
