"""mmap_sem between threads: how long they spin, who sleeps, and what munmap and mmap do under which kind of lock."""

import pytest

from kactors.kernel.accounting import Spent
from kactors.kernel.rwsem import SPIN_NS_PER_READER
from protocols.mmap_sem import SpinningTooLong
from protocols.tracepoints import FaultDone, MmapSemHold, MmapSemWait, PagesUnmapped, SpfAbort, SyscallDone
from tests.accounting import assert_settled
from tests.actors.programs import with_history
from tests.actors.scenes import BASE, PAGE, Delivered, Heard, played, spent, wait_until

MS = 1_000_000


def mapping(after_ns):
    async def work(thread):
        await thread.compute(after_ns)
        await thread.mmap(PAGE)

    return work


def computing(ns):
    async def work(thread):
        await thread.compute(ns)

    return work


async def nothing(thread):
    await thread.compute(1)


# --- spinning on readers ---------------------------------------------------------------------------------------------

READER_SPIN_NS = 50_000


async def slow_fault(thread):
    """Holds mmap_sem for reading from some us on for as long as a page takes."""
    await thread.touch(BASE)


@pytest.mark.parametrize(
    ("page_ns", "spin_ns", "spun_ns", "slept"),
    [
        pytest.param(MS, READER_SPIN_NS, READER_SPIN_NS + SPIN_NS_PER_READER, True, id="for a while"),
        pytest.param(40_000, READER_SPIN_NS, 20_000, False, id="until they are gone"),
        pytest.param(MS, 0, 0, True, id="not at all"),
    ],
)
def test_a_writer_spins_on_a_reader(page_ns, spin_ns, spun_ns, slept):
    waits, deadlines = Heard(MmapSemWait), Delivered(SpinningTooLong)
    costs = {"clear_page_ns": page_ns, "rwsem_reader_spin_ns": spin_ns}
    bodies = (slow_fault, mapping(30_000))
    machine, _ = played(*bodies, set_up=with_history, costs=costs, observers=[waits, deadlines])
    assert waits.of(MmapSemWait)[-1].slept is slept
    # The way of the lock's cache line, and of a woken writer's second try, is spinning too.
    assert spent(machine, 1, Spent.LOCK_SPIN) == pytest.approx(spun_ns, abs=10_000 if page_ns < MS else 1_000)
    assert len(deadlines.all) == (spin_ns > 0)
    assert_settled(machine)


def test_a_deadline_of_readers_that_are_gone_means_nothing_to_later_spinners():
    """The first writer gets the lock long before the deadline, and the second one spins on that writer through it."""
    waits = Heard(MmapSemWait)
    costs = {"clear_page_ns": 40_000, "rwsem_reader_spin_ns": READER_SPIN_NS, "map_ns": MS}
    bodies = (slow_fault, mapping(30_000), mapping(60_000))
    machine, _ = played(*bodies, set_up=with_history, cpus=3, costs=costs, observers=[waits])
    assert [wait.slept for wait in waits.of(MmapSemWait)] == [False] * len(waits.all)
    assert spent(machine, 2, Spent.LOCK_SPIN) > 0.9 * MS
    assert_settled(machine)


# --- the hand-over ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("others", "spun_ms"), [((), 6), ((computing(30 * MS),), 2)], ids=["alone", "with another"])
def test_a_head_to_whom_the_lock_is_promised_spins_until_its_own_slice_is_over(others, spun_ms):
    """CPU 1: a writer spins through its slice and sleeps, is woken while CPU 2 takes the lock, and tries in vain."""
    waits = Heard(MmapSemWait)
    costs = {"map_ns": 5 * MS, "slice_ns": MS, "rwsem_handoff_ns": 1_000}
    bodies = (mapping(1), mapping(10_000), nothing, nothing, computing(3_900_000), mapping(20_000), nothing, *others)
    machine, _ = played(*bodies, cpus=3, costs=costs, observers=[waits])
    assert [wait.slept for _, who, wait in waits.all if who == "cpu1"] == [True]
    assert spent(machine, 1, Spent.LOCK_SPIN) == pytest.approx(spun_ms * MS, rel=0.1)
    assert_settled(machine)


# --- what is done under which lock -----------------------------------------------------------------------------------


def held(policy, costs, work):
    """Return (how long mmap_sem was held for writing, how long the call took) of the last call."""
    holds, calls = Heard(MmapSemHold), Heard(SyscallDone)
    machine, _ = played(work, set_up=with_history, policy=policy, costs=costs, observers=[holds, calls])
    assert_settled(machine)
    return holds.of(MmapSemHold)[-1].hold, calls.of(SyscallDone)[-1].duration


async def unmap(thread):
    await thread.munmap(BASE + 9 * PAGE, PAGE)


@pytest.mark.parametrize(
    ("policy", "cost", "under_write_lock"),
    [
        ("classic", "detach_ns", True),
        ("classic", "unmap_ns", True),
        ("per-vma", "detach_ns", True),
        ("per-vma", "unmap_ns", False),
    ],
)
def test_munmap_detaches_under_the_write_lock_and_does_the_rest_after_its_downgrade(policy, cost, under_write_lock):
    (hold, duration), (longer_hold, longer) = (held(policy, {cost: ns}, unmap) for ns in (0, MS))
    assert longer - duration == MS
    assert longer_hold - hold == (MS if under_write_lock else 0)


@pytest.mark.parametrize("policy", ["classic", "per-vma"])
def test_munmap_clears_the_page_tables_before_it_frees_areas_and_tables(policy):
    """So what keeps the PTE lock busy comes early in it."""

    def cleared_at_ns(unmap_ns):
        heard = Heard(PagesUnmapped)
        costs = {"unmap_ns": unmap_ns}
        played(unmap, set_up=with_history, policy=policy, costs=costs, observers=[heard])
        return [at_ns for at_ns, _, _ in heard.all]

    assert len(cleared_at_ns(0)) == 1
    assert cleared_at_ns(0) == cleared_at_ns(MS)


def test_an_munmap_of_nothing_has_nothing_to_work_on():
    async def unmap_a_hole(thread):
        await thread.munmap(BASE + 20 * PAGE, PAGE)

    assert held("per-vma", {"unmap_ns": 0}, unmap_a_hole) == held("per-vma", {"unmap_ns": MS}, unmap_a_hole)


@pytest.mark.parametrize(("cost", "path"), [("map_ns", "vma_lock"), ("vma_adjust_ns", "classic")])
def test_mmap_works_under_the_write_lock_but_locks_areas_only_for_the_change_of_the_tree(cost, path):
    """A fault in the area that grows, half a millisecond later, shows it."""
    faults = Heard(FaultDone)

    async def enlarge(thread):
        await thread.mmap(PAGE, address=BASE + 10 * PAGE)

    async def fault(thread):
        await thread.compute(MS // 2)
        await thread.touch(BASE)

    bodies = (enlarge, fault)
    machine, _ = played(*bodies, set_up=with_history, policy="per-vma", costs={cost: MS}, observers=[faults])
    (done,) = [done for _, who, done in faults.all if who == "cpu1"]
    assert done.path == path
    assert (done.duration > MS // 3) == (path == "classic")
    assert held("per-vma", {cost: MS}, enlarge)[0] > MS
    assert_settled(machine)


def test_an_area_is_unstable_from_a_quarter_of_munmaps_own_work_on():
    """What the first of two splits begins with comes before; a fault that looks the area up after that meets it."""
    aborts = Heard(SpfAbort)

    def beside(after_ns):
        async def work(thread):
            await wait_until(thread, after_ns)
            await thread.touch(BASE)

        return work

    async def unmap_in_the_middle(thread):
        await wait_until(thread, 2 * MS)
        await thread.munmap(BASE + 4 * PAGE, PAGE)

    costs = {"detach_ns": 4 * MS, "clear_page_ns": MS // 2, "jitter_percent": 0}
    for after_ms, changed in ((1.2, False), (2.8, True), (3.5, False)):
        bodies = (unmap_in_the_middle, beside(after_ms * MS))
        played(*bodies, set_up=with_history, policy="spf-v9", costs=costs, observers=[aborts])
        assert [abort.reason for abort in aborts.of(SpfAbort)] == ["spf_vma_changed"] * changed
        aborts.all.clear()
