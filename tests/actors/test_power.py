"""POWER8 (protocols.md F7 to F11): tlbie instead of IPIs, and IPIs where page tables are walked without locks."""

import pytest

from protocols.tlb import FlushIpi, SyncIpi, Tlbie
from protocols.tracepoints import CollapseDone, FaultDone, IpiSend
from tests.accounting import assert_settled
from tests.actors.scenes import BASE, Delivered, Heard, played, wait_until

MS = 1_000_000
PAGE = 65536
PMD = 256 * PAGE
POLICIES = ("classic", "spf-v9", "per-vma")


async def ten_pages(thread):
    await thread.mmap(10 * PAGE, address=BASE)
    await thread.touch(BASE + 9 * PAGE)


def on_power(*bodies, set_up=ten_pages, **options):
    heard = Delivered(FlushIpi, SyncIpi, Tlbie)
    sends = Heard(IpiSend, CollapseDone)
    machine, result = played(*bodies, set_up=set_up, machine="p8-80", observers=[heard, sends], **options)
    assert_settled(machine)
    counts = {kind: sum(type(message) is kind for _, _, message in heard.all) for kind in (FlushIpi, SyncIpi, Tlbie)}
    return counts, sends, result


async def busy(thread):
    await thread.touch(BASE)
    await thread.compute(200_000)


@pytest.mark.parametrize("policy", POLICIES)
def test_dropping_pages_interrupts_nobody(policy):
    async def drop(thread):
        await thread.compute(20_000)
        await thread.madvise_dontneed(BASE, 10 * PAGE)

    counts, sends, _ = on_power(drop, busy, policy=policy)
    assert counts[FlushIpi] == counts[SyncIpi] == 0
    assert counts[Tlbie] == 2
    assert sends.of(IpiSend) == []


@pytest.mark.parametrize("policy", POLICIES)
def test_freeing_a_page_table_synchronizes_with_every_walker(policy):
    async def unmap(thread):
        await thread.compute(20_000)
        await thread.munmap(BASE, 10 * PAGE)

    counts, sends, _ = on_power(unmap, busy, policy=policy)
    assert counts[FlushIpi] == 0
    assert [send.kind for send in sends.of(IpiSend)] == ["sync"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_collapse_serializes_against_walkers_before_it_touches_the_pages(policy):
    async def madvised(thread):
        await thread.mmap(PMD, address=BASE)
        await thread.madvise_hugepage(BASE, PMD)

    async def touch_and_wait(thread):
        await thread.touch(BASE)
        await wait_until(thread, 1.05 * MS)
        assert await thread.touch(BASE)

    counts, sends, result = on_power(touch_and_wait, busy, set_up=madvised, collapse_ms=1, policy=policy)
    assert result.collapses == {"succeeded": 1}
    assert [send.kind for send in sends.of(IpiSend)] == ["sync"]
    assert counts[FlushIpi] == 0


def test_tlbies_are_serialised_machine_wide():
    heard = Delivered(Tlbie)

    def drop(page):
        async def work(thread):
            await thread.touch(BASE + page * PAGE)
            await wait_until(thread, 100_000)
            await thread.madvise_dontneed(BASE + page * PAGE, PAGE)

        return work

    costs = {"tlbie_ns": 10_000}
    machine, _ = played(drop(0), drop(1), set_up=ten_pages, machine="p8-80", costs=costs, observers=[heard])
    instants = sorted({at_ns for at_ns, _, _ in heard.all})
    assert len(instants) == 2
    assert instants[1] - instants[0] >= 10_000
    assert_settled(machine)


@pytest.mark.parametrize(("machine", "flush"), [("p8-80", "tlbie_ns"), ("small", "ipi_delivery_ns")])
def test_a_speculation_beside_a_munmap_meets_the_pte_lock_where_pages_are_flushed_under_it(machine, flush):
    """The hash MMU's batch ends before the lock is dropped; x86 drops the lock first."""
    faults = Heard(FaultDone)

    async def set_up(thread):
        await thread.mmap(10 * thread.page_size, address=BASE)
        await thread.touch(BASE + 9 * thread.page_size)

    async def unmap_the_last_page(thread):
        await thread.munmap(BASE + 9 * thread.page_size, thread.page_size)

    async def fault_meanwhile(thread):
        await thread.compute(MS)
        await thread.touch(BASE)

    bodies, costs = (unmap_the_last_page, fault_meanwhile), {flush: 3 * MS}
    options = {"policy": "spf-v9", "set_up": set_up, "machine": machine, "costs": costs, "observers": [faults]}
    machine, result = played(*bodies, **options)
    under_the_lock = flush == "tlbie_ns"
    assert result.counters.spf_pte_lock == under_the_lock
    (done,) = [done for _, who, done in faults.all if who == "cpu1"]
    assert done.path == ("classic" if under_the_lock else "spf")
    assert (done.duration > MS) == under_the_lock, "the classic path waits for the end of the munmap"
    assert_settled(machine)


@pytest.mark.parametrize(("policy", "waits_at"), [("classic", "lock"), ("spf-v9", "trylock")])
def test_the_hash_entry_of_a_fault_is_inserted_under_the_pte_lock(policy, waits_at):
    """So a fault meets the PTE lock taken by another one, on another page of the table."""
    faults = Heard(FaultDone)

    def touch(page, after_ns):
        async def work(thread):
            await thread.compute(after_ns)
            await thread.touch(BASE + page * PAGE)

        return work

    options = {"set_up": ten_pages, "machine": "p8-80", "policy": policy, "costs": {"hpte_insert_ns": 3 * MS}}
    machine, result = played(touch(0, 1), touch(8, MS), observers=[faults], **options)
    assert_settled(machine)
    assert result.counters.spf_pte_lock == (waits_at == "trylock")
    first, second = (done.duration for _, who, done in faults.all[-2:])
    assert first > 3 * MS
    assert second > 4.5 * MS, "it waits for the first one's entry, then inserts its own"
