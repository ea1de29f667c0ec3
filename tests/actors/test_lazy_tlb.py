"""Idle CPUs and the mm (protocols.md F5): which flushes interrupt them, and who finds them idle."""

import pytest

from protocols.mmap_sem import DOWN_READ, DOWN_WRITE, UP_WRITE, MmapSemReleased
from protocols.scheduling import GRANTED
from protocols.tlb import FLUSH_TLB, FLUSH_TLB_AND_TABLES, JOIN_MM, LEAVE_MM, FlushTargets, LeaveMm
from protocols.tracepoints import IpiSend
from tests.accounting import assert_settled
from tests.actors.address_space import AddressSpace
from tests.actors.scenes import BASE, LAZY_TLB, PAGE, PMD, Delivered, Heard, played, wait_until

MS = 1_000_000
POLICIES = ("classic", "spf-v9", "per-vma")


async def two_tables(thread):
    await thread.mmap(2 * PMD, address=BASE)
    for pmd in range(2):
        await thread.touch(BASE + pmd * PMD)


async def idle(thread):
    await thread.touch(BASE + PAGE)


def interrupted(mode, work, policy="classic"):
    """Return how many CPUs each flush of ``work`` interrupts while the other CPU is idle."""
    sent, left = Heard(IpiSend), Delivered(LeaveMm)
    bodies = (work, idle)
    machine, _ = played(*bodies, set_up=two_tables, policy=policy, machine=LAZY_TLB[mode], observers=[sent, left])
    assert_settled(machine)
    return [send.targets for send in sent.of(IpiSend)]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("mode", "targets"), [("keep", [1]), ("leave", []), ("skip", [])])
def test_pages_that_go_interrupt_an_idle_cpu_once_where_it_keeps_the_mm_and_never_elsewhere(mode, targets, policy):
    async def drop_three_times(thread):
        for times in range(3):
            await wait_until(thread, (times + 1) * MS)
            await thread.touch(BASE)
            await thread.madvise_dontneed(BASE, PAGE)

    assert interrupted(mode, drop_three_times, policy) == targets


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("mode", "targets"), [("keep", [1]), ("leave", []), ("skip", [1])])
def test_page_tables_that_go_interrupt_an_idle_cpu_that_is_skipped_otherwise(mode, targets, policy):
    """It may walk them by itself; and then it leaves for good."""

    async def unmap_both(thread):
        for pmd in range(2):
            await wait_until(thread, (pmd + 1) * MS)
            await thread.munmap(BASE + pmd * PMD, PMD)

    assert interrupted(mode, unmap_both, policy) == targets


@pytest.mark.parametrize("mode", LAZY_TLB)
def test_a_cpu_that_works_is_interrupted_in_any_case(mode):
    sent = Heard(IpiSend)

    async def drop(thread):
        await wait_until(thread, MS)
        await thread.madvise_dontneed(BASE, PAGE)

    async def work_all_the_time(thread):
        await wait_until(thread, 2 * MS)

    machine = LAZY_TLB[mode]
    played(drop, work_all_the_time, set_up=two_tables, machine=machine, observers=[sent])
    assert [send.targets for send in sent.of(IpiSend)] == [1]


def test_a_lazy_cpu_that_works_again_is_a_target_of_every_flush():
    space = AddressSpace(LAZY_TLB["skip"])
    space.say(JOIN_MM, cpu=0)
    space.say(JOIN_MM, LEAVE_MM, cpu=1)
    assert space.say(FLUSH_TLB)[-1].cpus == (0,)
    space.say(JOIN_MM, cpu=1)
    for flush in (FLUSH_TLB, FLUSH_TLB_AND_TABLES, FLUSH_TLB):
        (targets,) = space.say(flush)
        assert type(targets) is FlushTargets
        assert targets.cpus == (0, 1)


# --- waking a CPU that is idle ---------------------------------------------------------------------------------------


def woken_after(mode, waker_cpu, sleeper_cpu, *, joined, exit_ns):
    """Let one thread release mmap_sem for which another sleeps; return (IPIs, when the sleeper is woken)."""
    space = AddressSpace(LAZY_TLB[mode], costs={"ipi_exit_ns": exit_ns})
    for cpu in joined:
        space.say(JOIN_MM, cpu=cpu)
    space.say(DOWN_WRITE, cpu=waker_cpu, tag=1)
    space.say(DOWN_READ, cpu=sleeper_cpu, tag=2)
    space.say(UP_WRITE, cpu=waker_cpu, tag=1)
    (released,) = [m for _, _, m in space.cpus[waker_cpu].heard if type(m) is MmapSemReleased]
    assert released.woken == 1
    (woken_ns,) = [at_ns for at_ns, tag, m in space.cpus[sleeper_cpu].heard if (tag, m) == (2, GRANTED)]
    return released.ipis, woken_ns


@pytest.mark.parametrize("mode", ["leave", "skip"])
@pytest.mark.parametrize(
    ("waker", "sleeper", "joined", "ipis"),
    [
        pytest.param(0, 1, (0,), 1, id="idle"),
        pytest.param(0, 1, (0, 1), 0, id="busy"),
        pytest.param(0, 0, (0,), 0, id="own"),
        pytest.param(0, 0, (), 0, id="own, said to be idle"),
    ],
)
def test_only_who_wakes_an_idle_cpu_other_than_its_own_pays_the_exit_and_so_does_the_wake_up(
    mode, waker, sleeper, joined, ipis
):
    without, with_exit = (woken_after(mode, waker, sleeper, joined=joined, exit_ns=ns) for ns in (0, 9_000))
    assert without[0] == with_exit[0] == ipis
    assert with_exit[1] - without[1] == ipis * 9_000


def test_where_idle_cpus_keep_the_mm_nobody_knows_that_they_are_idle():
    assert woken_after("keep", 0, 1, joined=(0,), exit_ns=9_000)[0] == 0
