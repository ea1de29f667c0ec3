"""khugepaged: each way in which a collapse ends, and that it leaves everything in order."""

import pytest

from protocols.allocation import AllocPages
from protocols.page_table import InstallHuge, Pmd, PmdState
from protocols.scenario import Khugepaged
from protocols.tracepoints import CollapseDone, PageCopied, PagesIsolated, PmdChanged, UserStore
from protocols.vma import VmaKind, VmaSnapshot
from tests.accounting import assert_settled, pages_mapped
from tests.actors.scenes import BASE, PAGE, PMD, Delivered, Heard, played, scene, wait_until

MS = 1_000_000
POLICIES = ("classic", "spf-v9", "per-vma")
COLLAPSE_NS = range(-2_000, 4_000, 100)
"""From before the scan to after the isolation; the copy takes much longer."""
COLLAPSED = ("table", "none", "huge")


async def madvised(thread):
    await thread.mmap(2 * PMD, address=BASE)
    await thread.madvise_hugepage(BASE, 2 * PMD)


def touching(*pages, write=True, then=0):
    """Touch pages, then compute until ``then``."""

    async def work(thread):
        for page in pages:
            await thread.touch(BASE + page * PAGE, write=write)
        await wait_until(thread, then)

    return work


def statuses(*bodies, **options):
    """Play a scene with khugepaged awake every ms; return its statuses, the machine and the result."""
    heard = Heard(CollapseDone)
    options = {"set_up": madvised, "collapse_ms": 1} | options
    machine, result = played(*bodies, observers=[heard, *options.pop("observers", ())], **options)
    assert_settled(machine)
    found = [done.status for done in heard.of(CollapseDone)]
    assert sum(result.collapses.values()) == len(found)
    return found, machine, result


@pytest.mark.parametrize("policy", POLICIES)
def test_a_range_with_a_written_page_is_collapsed(policy):
    heard = Heard(PageCopied, PagesIsolated)
    found, machine, result = statuses(touching(0, 3, then=2 * MS), policy=policy, observers=[heard])
    assert found == ["succeeded"]
    (table,) = machine.system.ptls()
    assert heard.of(PagesIsolated) == [PagesIsolated(address=BASE, table=table.id)]
    assert machine.system.account_pages().mapped == 512
    assert len(pages_mapped(machine.system)) == 512
    copied = heard.of(PageCopied)
    assert [copy.vpn - BASE // PAGE for copy in copied if copy.source >= 0] == [0, 3]
    assert len(copied) == 512
    assert {copy.source for copy in copied if copy.source < 0} == {-1}
    assert {copy.target - index for index, copy in enumerate(copied)} == {copied[0].target}
    assert result.vmstat["thp_collapse_alloc"] == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_what_was_written_before_and_after_is_there(policy):
    heard = Heard(UserStore)

    async def work(thread):
        await touching(0, 1)(thread)
        await wait_until(thread, 2 * MS)
        await touching(0, 5)(thread)

    found, _, result = statuses(work, policy=policy, observers=[heard])
    assert found == ["succeeded"]
    assert result.counters.faults == 2, "the huge page needs no fault"
    frames = {store.vpn - BASE // PAGE: store.pfn for store in heard.of(UserStore)}
    assert frames[5] - frames[0] == 5


def test_a_range_with_too_few_pages_is_left_alone():
    settings = Khugepaged(scan_sleep_millisecs=1, max_ptes_none=510)
    found, machine, _ = statuses(touching(0, then=2 * MS), khugepaged=settings)
    assert found == ["exceed_none_pte"]
    assert machine.system.account_pages().mapped == 1


def test_the_zero_page_counts_as_none():
    settings = Khugepaged(scan_sleep_millisecs=1, max_ptes_none=511)
    found, _, _ = statuses(touching(0, 1, write=False, then=2 * MS), khugepaged=settings)
    assert found == ["exceed_none_pte"]


def test_a_range_without_a_writable_page_is_left_alone():
    async def protect(thread):
        await touching(0)(thread)
        await thread.mprotect(BASE, 2 * PMD, writable=False)
        await wait_until(thread, 2 * MS)

    assert statuses(protect)[0] == ["lack_writable_pte"]


def test_without_a_free_huge_page_it_gives_up():
    found, machine, _ = statuses(touching(0, then=2 * MS), costs={"memory_mib": 1})
    assert found == ["alloc_huge_page_failed"]
    assert machine.system.account_pages().mapped == 1


def test_areas_without_the_advice_and_areas_too_small_are_never_scanned():
    async def set_up(thread):
        await thread.mmap(2 * PMD, address=BASE)
        await thread.mmap(PMD, address=BASE + 4 * PMD + PAGE)
        await thread.madvise_hugepage(BASE + 4 * PMD + PAGE, PMD)
        await thread.touch(BASE + 5 * PMD)

    assert statuses(touching(0, then=3 * MS), set_up=set_up)[0] == []


def test_it_goes_from_range_to_range_and_begins_again():
    found, machine, _ = statuses(touching(0, 512, then=4 * MS))
    assert found == ["succeeded", "succeeded"]
    assert len(machine.system.mm.pmds.huge_pages()) == 2


def test_it_keeps_no_machine_alive():
    found, machine, result = statuses(touching(0))
    assert [process.name for process in machine.system.khugepaged.processes()] == ["khugepaged"]
    assert found == []
    assert result.virtual_ns < MS
    assert result.stop.kind == "quiescent"


def test_at_0_ms_it_does_not_run():
    assert statuses(touching(0, then=3 * MS), collapse_ms=0)[0] == []


def meanwhile(change):
    """The outcomes of a collapse when ``change`` comes at each of many instants around it, with the PMD's states."""
    outcomes = set()
    for offset_ns in COLLAPSE_NS:

        async def work(thread, offset_ns=offset_ns):
            await touching(0, 1)(thread)
            await wait_until(thread, MS + offset_ns)
            await change(thread)
            await wait_until(thread, 1.9 * MS)

        pmds = Heard(PmdChanged)
        found, _, _ = statuses(work, observers=[pmds])
        states = [entry.state for entry in pmds.of(PmdChanged) if entry.address == BASE]
        outcomes.add((*found, *states))
    return outcomes


def test_an_area_that_goes_before_the_scan_or_between_scan_and_lock_fails_the_check():
    outcomes = meanwhile(lambda thread: thread.munmap(BASE, PMD))
    assert outcomes == {("table", "none"), ("vma_check_failed", "table", "none"), ("succeeded", *COLLAPSED, "none")}


def test_pages_dropped_between_scan_and_isolation_make_it_put_the_table_back():
    """E6: the PMD is none while khugepaged looks, and the same table again after it."""
    outcomes = meanwhile(lambda thread: thread.madvise_dontneed(BASE, PMD))
    assert outcomes == {
        ("exceed_none_pte", "table"),
        ("exceed_none_pte", "table", "none", "table"),
        ("succeeded", *COLLAPSED, "none"),
    }


def test_a_range_whose_page_table_went_while_the_huge_page_was_allocated_is_left_alone():
    async def replace_the_area(thread):
        await thread.munmap(BASE, PMD)
        await thread.mmap(PMD, address=BASE)
        await thread.madvise_hugepage(BASE, PMD)

    async def work(thread):
        await touching(0)(thread)
        await wait_until(thread, MS + 2_000)
        await replace_the_area(thread)
        await wait_until(thread, 1.9 * MS)

    found, machine, _ = statuses(work, costs={"zone_lock_ns": 50_000})
    assert found == ["pmd_null"]
    assert machine.system.mm.pmds.huge_pages() == []


@pytest.mark.parametrize("policy", POLICIES)
def test_faults_wait_until_the_collapse_is_over(policy):
    async def fault_during_the_copy(thread):
        await wait_until(thread, MS + 50_000)
        assert await thread.touch(BASE + 100 * PAGE)

    found, machine, result = statuses(touching(0, then=2 * MS), fault_during_the_copy, policy=policy)
    assert found == ["succeeded"]
    assert result.mmap_sem.read.max_ns > 10_000
    assert machine.system.account_pages().mapped == 512


def test_only_per_vma_interrupts_all_cpus_once_more():
    """Since 6.1: tlb_remove_table_sync_one after the flush."""
    for policy, syncs in (("classic", 0), ("spf-v9", 0), ("per-vma", 1)):
        _, _, result = statuses(touching(0, then=2 * MS), policy=policy, cpus=4)
        assert result.ipi.sync.count == syncs, policy


def test_what_it_asks_for_a_huge_page_leaves_the_reserve_alone_and_no_table_behind():
    said = Delivered(AllocPages, InstallHuge)
    statuses(touching(0, then=2 * MS), observers=[said])
    order = PMD.bit_length() - PAGE.bit_length()
    asked, installed = [message for at_ns, _, message in said.all if at_ns >= MS]
    assert asked == AllocPages(order=order, count=1, memalloc=False)
    assert (installed.address, installed.table_pfn) == (BASE, -1)


@pytest.mark.parametrize(
    ("start", "end", "hugepage", "state", "status"),
    [
        (BASE, BASE + PMD, True, PmdState.TABLE, ""),
        (BASE - PAGE, BASE + PMD + PAGE, True, PmdState.TABLE, ""),
        (BASE, BASE + PMD, True, PmdState.NONE, "pmd_null"),
        (BASE, BASE + PMD, True, PmdState.HUGE, "pmd_null"),
        (BASE, BASE + PMD, False, PmdState.TABLE, "vma_check_failed"),
        (BASE + PAGE, BASE + 2 * PMD, True, PmdState.TABLE, "vma_check_failed"),
        (BASE - PMD, BASE + PMD - PAGE, True, PmdState.TABLE, "vma_check_failed"),
        (BASE + PAGE, BASE + PMD, False, PmdState.NONE, "vma_check_failed"),
    ],
)
def test_a_range_is_looked_at_again_from_all_sides(start, end, hugepage, state, status):
    khugepaged = scene().system.khugepaged
    vma = VmaSnapshot(
        vma_id=1,
        start=start,
        end=end,
        readable=True,
        writable=True,
        kind=VmaKind.ANON,
        anon_vma=True,
        hugepage=hugepage,
        sequence=0,
    )
    pmd = Pmd(state=state, table=3, pfn=-1)
    assert khugepaged._revalidate(vma, BASE, pmd) == status
    assert khugepaged._revalidate(None, BASE, pmd) == "vma_check_failed"


# --- on a CPU ---------------------------------------------------------------------------------------------------------

ON_A_CPU = Khugepaged(scan_sleep_millisecs=1, takes_cpu=True)
COSTS = {"copy_huge_ns": 300_000, "clear_huge_ns": 300_000, "scan_pte_ns": 100}


def collapsed(*bodies, **options):
    """Play a scene on two CPUs with khugepaged on one of them; return how long its collapse took, and the result."""
    heard = Heard(CollapseDone)
    found, _, result = statuses(*bodies, khugepaged=ON_A_CPU, costs=COSTS, observers=[heard], **options)
    assert found[:1] == ["succeeded"]
    return heard.of(CollapseDone)[0].duration, result


@pytest.mark.parametrize("policy", POLICIES)
def test_its_work_takes_time_on_an_idle_cpu(policy):
    took_ns, result = collapsed(touching(0, 3, then=3 * MS), policy=policy)
    # Two looks at 512 PTEs, and 512 pages copied or cleared.
    assert 400_000 <= took_ns < 500_000
    assert 400_000 <= result.cpu_time[1].user_ns < 500_000


def test_where_all_cpus_are_busy_it_waits_for_its_turn():
    alone_ns, _ = collapsed(touching(0, 3, then=3 * MS))
    busy_ns, _ = collapsed(touching(0, 3, then=30 * MS), touching(1, then=30 * MS))
    slice_ns = scene(touching(0)).system.machine.slice_ns
    assert busy_ns > alone_ns + slice_ns / 2


def test_the_threads_whose_cpu_it_takes_end_so_much_later():
    ends = []

    async def busy(thread):
        await thread.touch(BASE)
        await thread.compute(20 * MS)
        ends.append(thread.cpu.clock_ns)

    collapsed(busy, busy)
    with_it = max(ends)
    statuses(busy, busy, costs=COSTS, khugepaged=Khugepaged(scan_sleep_millisecs=1))
    assert with_it - max(ends[2:]) > 400_000


def test_it_looks_at_as_many_ranges_between_two_sleeps_as_it_is_told():
    heard = Heard(CollapseDone)
    settings = Khugepaged(scan_sleep_millisecs=1, pages_to_scan=513)
    both = touching(0, 512, then=2 * MS - 1_000)
    statuses(both, khugepaged=settings, observers=[heard])
    ends = [at_ns for at_ns, _, _ in heard.all]
    assert len(ends) == 2
    assert ends[1] < 2 * MS
