"""Which path serves a fault under each policy, what it allocates, and the checks of speculation one by one."""

import pytest

from kactors.kernel.pte import ZERO_PFN, pte_pfn
from protocols.scenario import Bounds
from protocols.scheduling import MustSleep, Retry
from protocols.tracepoints import MmPageAlloc, PageDiscarded, PteSet, SpfAbort
from protocols.vma import VmaKind
from tests.accounting import assert_settled
from tests.actors.programs import area_of, with_history
from tests.actors.scenes import BASE, PAGE, PMD, Delivered, Heard, played

POLICIES = ("classic", "spf-v9", "per-vma")


SPINNING = {"idle_exit_ns": 0, "idle_poll_exit_ns": 0}
"""Whoever comes from a barrier at which he spins was not idle, so that all are at it at once."""


async def one_write(thread):
    assert await thread.touch(BASE)


def aborts(*bodies, set_up=with_history, **options):
    heard = Heard(SpfAbort)
    machine, result = played(*bodies, set_up=set_up, policy="spf-v9", observers=[heard], **options)
    assert_settled(machine)
    assert result.counters.residual == result.counters.faults - result.counters.spf - len(heard.all)
    return [abort.reason for abort in heard.of(SpfAbort)], result


@pytest.mark.parametrize(("policy", "path"), [("classic", "classic"), ("spf-v9", "spf"), ("per-vma", "vma_lock")])
def test_an_ordinary_fault_takes_the_policys_own_path(policy, path):
    machine, result = played(one_write, policy=policy, set_up=with_history)
    assert result.fault_paths[path] >= 1
    assert_settled(machine)


def test_a_process_with_one_thread_does_not_speculate():
    """C0: the main thread sets up alone."""
    found, result = aborts(lambda thread: thread.compute(1))
    assert found == []
    assert result.fault_paths == {"classic": 1}


@pytest.mark.parametrize("policy", POLICIES)
def test_several_faults_on_one_page_map_one_frame_and_throw_the_others_away(policy):
    heard = Heard(MmPageAlloc, PageDiscarded, PteSet)
    machine, result = played(
        *[one_write] * 3, cpus=3, policy=policy, set_up=with_history, observers=[heard], costs=SPINNING
    )
    at_base = [alloc for alloc in heard.of(MmPageAlloc) if alloc.address == BASE]
    assert len(at_base) == 3
    assert len(heard.of(PageDiscarded)) == 2 == result.transient.wasted
    assert len([written for written in heard.of(PteSet) if written.index == 0]) == 1
    assert result.transient.wasted_zeroing_ns == sum(discard.zeroing for discard in heard.of(PageDiscarded))
    assert machine.system.account_pages().mapped == 2
    assert sum(cpu.zeroing_wasted_ns for cpu in result.cpu_time) == result.transient.wasted_zeroing_ns
    assert_settled(machine)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_read_and_a_write_of_the_same_page_at_once_leave_a_written_page(policy):
    async def read(thread):
        assert await thread.touch(BASE, write=False)

    machine, _ = played(read, one_write, policy=policy, set_up=with_history)
    ptl = next(ptl for ptl in machine.system.ptls() if not ptl.freed)
    assert pte_pfn(ptl.mapped()[0]) != ZERO_PFN
    assert_settled(machine)


# --- SPF: what the snapshot alone rules out ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [VmaKind.FILE, VmaKind.STACK, VmaKind.UFFD, VmaKind.INTERLEAVE])
def test_areas_of_other_kinds_are_not_supported(kind):
    found, result = aborts(one_write, set_up=area_of(kind))
    assert found == ["spf_vma_notsup"]
    assert result.fault_paths == {"classic": 2}


def test_an_area_without_anon_vma_needs_the_classic_path_once():
    async def two_writes(thread):
        await thread.touch(BASE)
        await thread.touch(BASE + PAGE)

    found, result = aborts(two_writes, set_up=area_of(VmaKind.ANON, touched=False))
    assert found == ["spf_vma_noanon"]
    assert result.fault_paths == {"classic": 1, "spf": 1}


def test_an_empty_pmd_is_ambiguous_and_goes_the_classic_way():
    async def set_up(thread):
        await thread.mmap(2 * PMD, address=BASE)
        await thread.touch(BASE + PMD)

    found, result = aborts(one_write, set_up=set_up)
    assert found == ["spf_vma_notsup"]
    assert result.counters.spf == 0


def test_a_bad_access_is_a_segfault_at_once():
    async def set_up(thread):
        await with_history(thread)
        await thread.mprotect(BASE, 10 * PAGE, writable=False)

    async def bad_write(thread):
        assert not await thread.touch(BASE)

    found, result = aborts(bad_write, set_up=set_up)
    assert found == ["spf_vma_access"]
    assert result.fault_paths == {"classic": 1, "sigsegv": 1}
    assert result.mmap_sem.read.count == 1, "only the set-up took mmap_sem for reading"


def test_no_area_at_all_is_left_to_the_classic_path():
    async def bad(thread):
        assert not await thread.touch(0x1000)

    found, result = aborts(bad)
    assert found == []
    assert result.counters.residual == 2
    assert result.fault_paths["sigsegv"] == 1


def test_a_page_that_somebody_mapped_meanwhile_is_a_success_without_a_page():
    async def set_up(thread):
        await with_history(thread)
        await thread.touch(BASE)

    async def write_late(thread):
        await thread.compute(10_000)
        await thread.touch(BASE)

    _, result = aborts(one_write, write_late, set_up=set_up)
    assert result.transient.wasted == 0


def test_speculation_on_the_zero_page_brings_an_own_page():
    async def read_then_write(thread):
        assert await thread.touch(BASE, write=False)
        assert await thread.touch(BASE)

    found, result = aborts(read_then_write)
    assert found == []
    assert result.fault_paths == {"classic": 1, "spf": 2}


# --- SPF: what changes while it speculates ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda thread: thread.madvise_dontneed(BASE + 5 * PAGE, PAGE),
        lambda thread: thread.mprotect(BASE + 5 * PAGE, PAGE, writable=False),
        lambda thread: thread.munmap(BASE + 5 * PAGE, PAGE),
        lambda thread: thread.mmap(PAGE, address=BASE + 10 * PAGE),
    ],
    ids=["dontneed", "mprotect", "munmap", "mmap"],
)
def test_a_change_elsewhere_in_the_area_aborts_and_wastes_the_page(change):
    """D7: the sequence count cannot tell a change elsewhere from one that matters."""

    async def later(thread):
        await thread.compute(50_000)
        await change(thread)

    found, result = aborts(one_write, later, costs={"clear_page_ns": 100_000})
    assert found == ["spf_vma_changed"]
    assert result.transient.wasted == 1
    assert result.counters.spf == 0


def test_an_area_that_is_gone_at_the_end_is_a_segfault_under_mmap_sem():
    async def fault(thread):
        assert not await thread.touch(BASE)

    async def unmap(thread):
        await thread.compute(50_000)
        await thread.munmap(BASE, 10 * PAGE)

    found, result = aborts(fault, unmap, costs={"clear_page_ns": 100_000})
    assert found == ["spf_vma_changed"]
    assert result.fault_paths["sigsegv"] == 1


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("on_limit", "wasted"), [("wait", 0), ("classic", 1)])
def test_a_bound_on_speculation_bounds_waste_only_where_the_others_wait(on_limit, wasted):
    bounds = Bounds(spf_inflight_max=1, on_limit=on_limit)
    machine, result = played(*[one_write] * 2, policy="spf-v9", set_up=with_history, bounds=bounds, costs=SPINNING)
    assert result.transient.wasted == wasted
    assert_settled(machine)


@pytest.mark.parametrize(
    ("scope", "addresses", "spread", "peak"),
    [
        ("machine", 4, False, 1),
        ("mm", 4, False, 1),
        ("address", 4, False, 4),
        ("address", 1, False, 1),
        ("cpu", 4, False, 4),
        ("cpu", 4, True, 2),
    ],
)
def test_each_scope_bounds_its_own_number(scope, addresses, spread, peak):
    """Four threads on four CPUs, or on two of them: then a slice ends while a page is being cleared."""

    async def write(thread):
        await thread.touch(BASE + (thread.number % addresses) * PAGE)

    bounds = Bounds(spf_inflight_max=1, spf_inflight_scope=scope)
    cpus = 2 if spread else 4
    machine, result = played(
        *[write] * 4, cpus=cpus, policy="spf-v9", set_up=with_history, bounds=bounds, costs={"clear_page_ns": 50_000}
    )
    assert result.transient.peak_mm == peak
    assert result.counters.spf + result.counters.spf_pte_lock == 4
    assert_settled(machine)


def test_a_bound_of_the_machine_counts_at_one_line_and_a_cpus_at_none():
    async def writes(thread):
        for page in range(64):
            await thread.touch(BASE + PAGE * (64 * (thread.number % 2) + page))

    async def wide(thread):
        await thread.mmap(256 * PAGE, address=BASE)
        await thread.touch(BASE + 255 * PAGE)

    def ends_ns(scope):
        bounds = Bounds(spf_inflight_max=16, spf_inflight_scope=scope)
        return played(*[writes] * 2, policy="spf-v9", set_up=wide, bounds=bounds)[1].virtual_ns

    assert ends_ns("machine") == ends_ns("mm") > ends_ns("cpu")


def test_a_wake_up_may_overtake_the_order_to_sleep():
    """The speculation ends while the answer to the one that has to wait is still under way."""
    heard = Delivered(MustSleep, Retry)

    async def write_later(thread):
        await thread.compute(70_000)
        await one_write(thread)

    costs = {"wake_ns": 0, "atomic_ns": 20_000, "clear_page_ns": 0}
    bounds = Bounds(spf_inflight_max=1, on_limit="wait")
    machine, result = played(
        one_write, write_later, policy="spf-v9", set_up=with_history, bounds=bounds, costs=costs, observers=[heard]
    )
    assert [type(message) for _, _, message in heard.all] == [Retry, MustSleep]
    assert result.counters.spf == 2
    assert_settled(machine)


def test_a_bound_may_stop_the_run():
    bounds = Bounds(spf_inflight_max=1, on_limit="stop")
    _, result = played(*[one_write] * 2, policy="spf-v9", set_up=with_history, bounds=bounds, costs=SPINNING)
    assert (result.stop.kind, result.stop.bound) == ("bound", "bounds.spf_inflight_max")


# --- copy on write of the zero page -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_no_cpu_reads_the_zero_page_any_more_after_a_write_brought_an_own_one(policy):
    """ptep_clear_flush clears the entry before it flushes: a walk in the meantime must not find the zero page again."""

    async def set_up(thread):
        await with_history(thread)
        await thread.touch(BASE, write=False)

    async def read_all_the_time(thread):
        for _ in range(150):
            await thread.touch(BASE, write=False)
            await thread.compute(100)

    async def write(thread):
        await thread.compute(5_000)
        await thread.touch(BASE)

    machine, _ = played(write, *[read_all_the_time] * 3, cpus=4, policy=policy, set_up=set_up)
    assert_settled(machine)
