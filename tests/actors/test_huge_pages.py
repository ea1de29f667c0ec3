"""Huge pages: faulted in at once, collapsed, zapped whole, split by whatever touches a part."""

import pytest

from kactors.kernel.pte import pte_write
from protocols.allocation import FreePages, MoveOnLru
from protocols.scenario import Khugepaged
from protocols.tracepoints import FaultDone, MmPageFree, SyscallDone, UserStore
from tests.accounting import assert_settled, pages_mapped
from tests.actors.scenes import BASE, PAGE, PMD, Delivered, Heard, played, wait_until

MS = 1_000_000
POLICIES = ("classic", "spf-v9", "per-vma")
HUGE_FAULTS = Khugepaged(fault_huge=True)


async def madvised(thread):
    size = thread.cpu.machine.pmd_size
    await thread.mmap(2 * size, address=BASE)
    await thread.madvise_hugepage(BASE, 2 * size)


async def one_huge_fault(thread):
    assert await thread.touch(BASE)


def huge_then(change, **options):
    """Fault a huge page in, then change something; return machine and result."""

    async def work(thread):
        await thread.touch(BASE)
        await change(thread)

    options = {"set_up": madvised, "khugepaged": HUGE_FAULTS} | options
    machine, result = played(work, **options)
    assert_settled(machine)
    return machine, result


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_fault_of_a_madvised_range_brings_a_huge_page(policy):
    async def touch_the_rest(thread):
        for page in (1, 100, 511):
            await thread.touch(BASE + page * PAGE)

    machine, result = huge_then(touch_the_rest, policy=policy)
    assert result.counters.faults == 1
    assert len(machine.system.mm.pmds.huge_pages()) == 1
    assert machine.system.account_pages().mapped == 512
    assert result.vmstat["thp_fault_alloc"] == 1


def test_a_huge_fault_prepares_the_areas_anon_vma():
    """Else speculation would refuse the area for ever."""
    machine, _ = huge_then(lambda thread: thread.compute(1))
    assert all(vma.anon_vma for vma in machine.system.mm.tree)


@pytest.mark.parametrize(("start", "length"), [(BASE + PAGE, PMD), (BASE, PMD - PAGE)])
def test_a_range_that_does_not_hold_the_whole_pmd_is_faulted_in_small_pages(start, length):
    async def set_up(thread):
        await thread.mmap(length, address=start)
        await thread.madvise_hugepage(start, length)

    async def work(thread):
        await thread.touch(start)

    machine, _ = played(work, set_up=set_up, khugepaged=HUGE_FAULTS)
    assert machine.system.account_pages().mapped == 1
    assert_settled(machine)


def test_a_read_only_area_gets_no_huge_page():
    """There is no huge zero page here, and a huge PMD is always writable."""

    async def set_up(thread):
        await madvised(thread)
        await thread.mprotect(BASE, 2 * PMD, writable=False)

    async def work(thread):
        assert await thread.touch(BASE, write=False)
        assert not await thread.touch(BASE)

    machine, _ = played(work, set_up=set_up, khugepaged=HUGE_FAULTS)
    assert machine.system.mm.pmds.huge_pages() == []
    assert_settled(machine)


def test_without_a_free_huge_page_small_ones_do():
    """GFP_TRANSHUGE_LIGHT: no reclaim, and above all no OOM killer."""
    machine, result = huge_then(lambda thread: thread.compute(1), costs={"memory_mib": 2})
    assert result.vmstat["thp_fault_fallback"] == 1
    assert result.memory.oom_kills == 0
    assert "allocstall_normal" not in result.vmstat
    assert machine.system.account_pages().mapped == 1


def test_of_several_simultaneous_huge_faults_one_page_stays():
    machine, result = played(*[one_huge_fault] * 3, set_up=madvised, khugepaged=HUGE_FAULTS, cpus=3)
    assert len(machine.system.mm.pmds.huge_pages()) == 1
    assert result.vmstat["thp_fault_alloc"] == 1
    assert sum(cpu.zeroing_wasted_ns for cpu in result.cpu_time) > result.scenario.cpus * 40_000
    assert_settled(machine)


@pytest.mark.parametrize("policy", POLICIES)
def test_munmap_of_the_whole_range_frees_page_and_deposited_table(policy):
    freed = Heard(MmPageFree)
    machine, _ = huge_then(lambda thread: thread.munmap(BASE, 2 * PMD), policy=policy, observers=[freed])
    assert [free.order for free in freed.of(MmPageFree)] == [9]
    account = machine.system.account_pages()
    assert (account.mapped, account.tables) == (0, 0)


def one_and_unmapped(**costs):
    """How long the fault that brings a huge page takes, and the munmap that frees it."""
    done = Heard(FaultDone, SyscallDone)
    huge_then(lambda thread: thread.munmap(BASE, 2 * PMD), observers=[done], costs={"jitter_percent": 0, **costs})
    return done.of(FaultDone)[0].duration, done.of(SyscallDone)[-1].duration


def test_each_further_page_of_a_huge_one_is_written_at_its_allocation_and_checked_when_it_is_freed():
    cheap, dear = one_and_unmapped(tail_page_ns=0), one_and_unmapped(tail_page_ns=7)
    assert [b - a for a, b in zip(cheap, dear, strict=True)] == [7 * 511, 7 * 511]


def test_the_deposited_table_is_cleared_too():
    cheap, dear = (one_and_unmapped(clear_page_ns=ns)[0] for ns in (100, 900))
    assert dear - cheap == 800


def test_huge_pages_are_freed_one_by_one():
    freed = Delivered(FreePages)

    async def touch_the_next_and_unmap_both(thread):
        await thread.touch(BASE + PMD)
        await thread.munmap(BASE, 2 * PMD)

    huge_then(touch_the_next_and_unmap_both, observers=[freed])
    assert [len(message.pfns) for _, _, message in freed.all if message.order] == [1, 1]


def test_a_huge_page_goes_on_the_list_at_once_and_off_it_alone():
    moved = Delivered(MoveOnLru)

    async def set_up(thread):
        await madvised(thread)
        await thread.mmap(PMD, address=BASE + 4 * PMD)

    async def work(thread):
        for page in range(3):
            await thread.touch(BASE + 4 * PMD + page * PAGE)
        await thread.touch(BASE)
        await thread.touch(BASE + PMD)
        await thread.munmap(BASE, 2 * PMD)

    played(work, set_up=set_up, khugepaged=HUGE_FAULTS, observers=[moved], costs={"lru_page_ns": 10})
    assert [message.pages for _, _, message in moved.all] == [4, 1, 1, 1]


@pytest.mark.parametrize("policy", POLICIES)
def test_dontneed_of_the_whole_page_takes_it_out_and_the_next_fault_brings_another(policy):
    async def drop_and_touch(thread):
        await thread.madvise_dontneed(BASE, PMD)
        assert await thread.touch(BASE + PAGE)

    machine, result = huge_then(drop_and_touch, policy=policy)
    assert result.counters.faults == 2
    assert len(machine.system.mm.pmds.huge_pages()) == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_dontneed_of_a_part_splits_it_and_frees_just_that_part(policy):
    freed = Heard(MmPageFree)
    machine, _ = huge_then(
        lambda thread: thread.madvise_dontneed(BASE + 10 * PAGE, 5 * PAGE), policy=policy, observers=[freed]
    )
    mapped = pages_mapped(machine.system)
    assert sorted(set(range(512)) - {vpn - BASE // PAGE for vpn in mapped}) == [10, 11, 12, 13, 14]
    assert [free.order for free in freed.of(MmPageFree)] == [0] * 5
    assert machine.system.mm.pmds.huge_pages() == []


def test_the_frames_of_a_split_page_are_those_of_the_huge_one():
    stores = Heard(UserStore)

    async def split_and_touch(thread):
        await thread.touch(BASE + 100 * PAGE)
        await thread.madvise_dontneed(BASE, PAGE)
        await thread.touch(BASE + 100 * PAGE)

    _, result = huge_then(split_and_touch, observers=[stores])
    before, after = [store.pfn for store in stores.of(UserStore)][1:]
    assert before == after
    assert result.counters.faults == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_mprotect_of_a_part_splits_it_and_protects_just_that_part(policy):
    async def protect(thread):
        await thread.mprotect(BASE + 10 * PAGE, 5 * PAGE, writable=False)
        assert not await thread.touch(BASE + 12 * PAGE)
        assert await thread.touch(BASE + 12 * PAGE, write=False)
        assert await thread.touch(BASE + 20 * PAGE)

    machine, result = huge_then(protect, policy=policy)
    read_only = [vpn - BASE // PAGE for vpn, value in pages_mapped(machine.system).items() if not pte_write(value)]
    assert read_only == [10, 11, 12, 13, 14]
    assert result.counters.faults == 2, "the first one, and the one that ends in SIGSEGV"


@pytest.mark.parametrize("policy", POLICIES)
def test_munmap_of_a_part_leaves_the_rest_mapped(policy):
    machine, _ = huge_then(lambda thread: thread.munmap(BASE + 256 * PAGE, 300 * PAGE), policy=policy)
    assert sorted(vpn - BASE // PAGE for vpn in pages_mapped(machine.system)) == list(range(256))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_collapsed_range_can_be_unmapped_and_split_as_well(policy):
    async def work(thread):
        await thread.touch(BASE)
        await thread.touch(BASE + PMD)
        await wait_until(thread, 3 * MS)
        await thread.munmap(BASE, PMD)
        await thread.madvise_dontneed(BASE + PMD, PMD // 2)

    machine, result = played(work, set_up=madvised, collapse_ms=1, policy=policy)
    assert result.collapses == {"succeeded": 2}
    assert machine.system.account_pages().mapped == 256
    assert_settled(machine)


@pytest.mark.parametrize(("one", "other"), [("whole", "whole"), ("whole", "part"), ("part", "part")])
def test_two_threads_may_drop_the_same_huge_page_at_once(one, other):
    """MADV_DONTNEED holds mmap_sem for reading only: whoever comes second finds the PMD changed under pmd_lock."""
    sizes = {"whole": PMD, "part": PMD // 2}

    def drop(size, offset_ns=0):
        async def work(thread):
            await thread.touch(BASE)
            await wait_until(thread, MS + offset_ns)
            await thread.madvise_dontneed(BASE, size)

        return work

    for offset_ns in range(-600, 600, 40):
        bodies = (drop(sizes[one]), drop(sizes[other], offset_ns))
        machine, _ = played(*bodies, set_up=madvised, khugepaged=HUGE_FAULTS)
        assert_settled(machine)
        assert machine.system.account_pages().mapped == (0 if "whole" in (one, other) else 256)


@pytest.mark.parametrize("policy", POLICIES)
def test_huge_pages_on_power_span_256_small_ones(policy):
    machine, result = huge_then(
        lambda thread: thread.madvise_dontneed(BASE, 65536), policy=policy, machine="p8-80", cpus=2
    )
    assert machine.system.account_pages().mapped == 255
    assert result.counters.faults == 1
