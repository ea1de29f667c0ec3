"""What a program sees of memory: faults, rights, zeroes, and the calls' own accounting."""

import pytest

from kactors.kernel.pte import ZERO_PFN, pte_pfn, pte_write
from protocols.tracepoints import FaultDone, IpiServed, PageFaultUser, PteSet, SyscallDone, UserStore
from tests.accounting import assert_settled, pages_mapped
from tests.actors.scenes import BASE, PAGE, PMD, Heard, played

POLICIES = ("classic", "spf-v9", "per-vma")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_touch_outside_every_area_is_a_segfault(policy):
    heard = Heard(FaultDone, UserStore)

    async def body(thread):
        await thread.mmap(PAGE, address=BASE)
        assert not await thread.touch(BASE + PAGE)
        assert not await thread.touch(BASE - PAGE, write=False)
        assert await thread.touch(BASE)

    machine, result = played(body, policy=policy, observers=[heard])
    assert [done.path for done in heard.of(FaultDone)][:2] == ["sigsegv", "sigsegv"]
    assert len(heard.of(UserStore)) == 1
    assert result.fault_paths["sigsegv"] == 2
    assert_settled(machine)


@pytest.mark.parametrize("policy", POLICIES)
def test_rights_decide_what_is_a_segfault(policy):
    async def body(thread):
        await thread.mmap(PAGE, address=BASE, writable=False)
        assert not await thread.touch(BASE)
        assert await thread.touch(BASE, write=False)
        assert not await thread.touch(BASE)
        await thread.mmap(PAGE, address=BASE + PMD, readable=False, writable=False)
        assert not await thread.touch(BASE + PMD, write=False)

    assert_settled(played(body, policy=policy)[0])


@pytest.mark.parametrize("policy", POLICIES)
def test_a_read_maps_the_zero_page_and_the_first_write_brings_an_own_one(policy):
    entries = Heard(PteSet)

    async def body(thread):
        await thread.mmap(2 * PAGE, address=BASE)
        await thread.touch(BASE + PAGE)
        assert await thread.touch(BASE, write=False)
        assert await thread.touch(BASE)

    machine, result = played(body, policy=policy, observers=[entries])
    first, zero, own = (written.value for written in entries.of(PteSet))
    assert pte_write(first)
    assert (pte_pfn(zero), pte_write(zero)) == (ZERO_PFN, False)
    assert pte_pfn(own) != ZERO_PFN
    assert pte_write(own)
    assert result.counters.faults == 3
    assert machine.system.account_pages().mapped == 2
    assert_settled(machine)


def test_the_zero_page_is_never_counted_or_freed():
    async def body(thread):
        await thread.mmap(4 * PAGE, address=BASE)
        for page in range(4):
            await thread.touch(BASE + page * PAGE, write=False)
        await thread.madvise_dontneed(BASE, 2 * PAGE)

    machine, _ = played(body)
    assert len(pages_mapped(machine.system)) == 2
    assert machine.system.account_pages().mapped == 0
    assert_settled(machine)


@pytest.mark.parametrize("call", ["munmap", "madvise_dontneed"])
def test_dropping_the_zero_page_reaches_every_tlb(call):
    async def set_up(thread):
        await thread.mmap(2 * PAGE, address=BASE)
        await thread.touch(BASE + PAGE)

    async def read_then_drop(thread):
        await thread.touch(BASE, write=False)
        await thread.compute(10_000)
        await getattr(thread, call)(BASE, PAGE)

    async def read(thread):
        await thread.touch(BASE, write=False)
        await thread.compute(100_000)
        assert await thread.touch(BASE, write=False) == (call == "madvise_dontneed")

    machine, result = played(read_then_drop, read, set_up=set_up)
    assert result.ipi.flush.count == 1
    assert_settled(machine)


def test_a_page_that_was_made_read_only_becomes_writable_again_in_place():
    entries = Heard(PteSet)

    async def body(thread):
        await thread.mmap(PAGE, address=BASE)
        await thread.touch(BASE)
        await thread.mprotect(BASE, PAGE, writable=False)
        assert not await thread.touch(BASE)
        await thread.mprotect(BASE, PAGE, writable=True)
        assert await thread.touch(BASE)

    machine, result = played(body, observers=[entries])
    assert len({pte_pfn(written.value) for written in entries.of(PteSet)}) == 1
    assert result.transient.allocated == 1
    assert_settled(machine)


def test_a_tlb_hit_is_no_fault():
    async def body(thread):
        await thread.mmap(PAGE, address=BASE)
        for _ in range(5):
            await thread.touch(BASE)
            await thread.touch(BASE + 100, write=False)

    assert played(body)[1].counters.faults == 1


def test_the_discarded_page_comes_back_as_a_new_one():
    heard = Heard(PageFaultUser)

    async def body(thread):
        await thread.mmap(PAGE, address=BASE)
        for _ in range(3):
            await thread.touch(BASE)
            await thread.madvise_dontneed(BASE, PAGE)

    machine, result = played(body, observers=[heard])
    assert len(heard.all) == 3
    assert result.transient.allocated == 3
    assert_settled(machine)


def test_each_call_tells_its_name_and_duration():
    heard = Heard(SyscallDone)

    async def body(thread):
        await thread.mmap(PAGE, address=BASE)
        await thread.mprotect(BASE, PAGE, writable=False)
        await thread.madvise_dontneed(BASE, PAGE)
        await thread.madvise_hugepage(BASE, PAGE)
        await thread.munmap(BASE, PAGE)
        assert thread.page_size == PAGE

    machine, _ = played(body, observers=[heard])
    done = heard.of(SyscallDone)
    assert [call.name for call in done] == ["mmap", "mprotect", "madvise", "madvise", "munmap"]
    assert all(call.duration >= machine.system.machine.syscall_ns for call in done)


@pytest.mark.parametrize(("batch", "flushes"), [(1, 3), (2, 2), (3, 1), (10_000, 1)])
def test_munmap_flushes_all_that_it_has_cleared_when_the_batch_is_full(batch, flushes):
    """Three page tables, one page in each; the end of each batch is flushed under that table's lock."""
    pages = [BASE + PMD - PAGE, BASE + PMD, BASE + 2 * PMD]

    async def set_up(thread):
        await thread.mmap(4 * PMD, address=BASE)
        await thread.touch(BASE + 3 * PMD)

    async def touch_all(thread):
        for address in pages:
            await thread.touch(address)

    async def drop(thread):
        await touch_all(thread)
        await thread.compute(10_000)
        await thread.madvise_dontneed(BASE + PMD - PAGE, PMD + 2 * PAGE)

    async def watch(thread):
        await touch_all(thread)
        await thread.compute(100_000)

    machine, result = played(drop, watch, set_up=set_up, costs={"mmu_gather_pages": batch})
    assert result.ipi.flush.count == flushes
    assert_settled(machine)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_program_may_draw_and_start_nothing_more(policy):
    drawn = []

    async def body(thread):
        drawn.append((thread.number, thread.pick("number", 7)))

    played(body, body, policy=policy)
    assert sorted(drawn) == [(1, 0), (2, 0)]


def test_a_walk_that_an_invalidation_overtakes_starts_again():
    """Another CPU flushes again and again while this one walks: PMD and PTE reads take longer than the flushes."""
    served = Heard(IpiServed)
    pages = range(0, 160, 8)  # each in a cache line of its own

    async def set_up(thread):
        await thread.mmap(160 * PAGE, address=BASE)
        for page in pages:
            await thread.touch(BASE + page * PAGE)

    async def flush_all_the_time(thread):
        for _ in range(40):
            await thread.cpu.flush_tlb(BASE, BASE + PMD)
            await thread.compute(300)

    async def touch_all(thread):
        await thread.compute(9_000)
        for page in pages:
            assert await thread.touch(BASE + page * PAGE, write=page % 16 == 0)

    costs = {"line_cache_ns": 4_000, "ipi_handler_ns": 10, "tlb_flush_full_ns": 0}
    machine, result = played(flush_all_the_time, touch_all, set_up=set_up, costs=costs, observers=[served])
    assert len(served.all) > 20
    assert result.counters.faults == len(pages), "no walk ended as a fault"
    assert machine.system.cpus[1].tlb.flushes > 20
    assert_settled(machine)
