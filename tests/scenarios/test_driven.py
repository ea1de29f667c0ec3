"""Hazards of the review mail, step by step: the machine is driven to the moment, and something is done to it there."""

import pytest

from kactors.pytest_plugin import assert_story
from protocols.service.commands import SetBound, SetPolicy

AREA = 0x7E00_0000_0000
PMD = 1 << 21
PAGE = 4096
SLOW_PAGES = {"clear_page_ns": 50_000}
"""A page takes long to clear: there is time to do something to a fault that has allocated one."""


async def area(t):
    await t.mmap(PMD, address=AREA)
    await t.madvise_hugepage(AREA, PMD)
    await t.touch(AREA + PMD - t.page_size)


async def store(t):
    t.note("stored", await t.touch(AREA))


async def store_and_stay(t):
    await t.touch(AREA)
    await t.compute(20_000)


async def munmap_later(t):
    await t.compute(10_000)
    await t.munmap(AREA, PAGE)


def faults_begun(faults):
    """The main thread's one, while it sets up, is the first."""
    return lambda m: m.stats().faults >= faults


def on_their_way(pages):
    """Pages that have been allocated and are not yet mapped."""
    return lambda m: m.stats().transient_pages >= pages


@pytest.mark.parametrize("policy", ["spf-v9", "classic", "per-vma"])
async def test_an_area_that_is_unmapped_under_a_speculation_gets_no_page(machine, policy):
    m = machine(policy=policy, program=[store], set_up=area, costs=SLOW_PAGES)
    await m.run_until(faults_begun(2))
    m.inject("munmap", cpu=1, address=AREA, length=PAGE)
    await m.run()
    wasted = m.stats().pages_wasted
    # Without mmap_sem the munmap goes first, and the page was cleared for nothing; with it the munmap waits.
    assert wasted == (1 if policy == "spf-v9" else 0)
    assert m.stats().transient_pages == 0


@pytest.mark.parametrize("policy", ["spf-v9", "per-vma"])
async def test_a_collapse_waits_for_or_defeats_a_fault_that_is_under_way(machine, policy):
    m = machine(policy=policy, program=[store], set_up=area, costs=SLOW_PAGES)
    await m.run_until(faults_begun(2))
    m.inject("collapse", address=AREA)
    await m.run()
    assert m.result().collapses == {"succeeded": 1}
    assert m.stats().transient_pages == 0


async def test_every_cpu_allocates_for_one_address_until_a_bound_is_set(machine):
    m = machine(policy="spf-v9", program=[store] * 4, set_up=area, costs=SLOW_PAGES)
    await m.run_until(on_their_way(4))
    assert m.counters.spf == 0
    bounded = machine(policy="spf-v9", program=[store] * 4, set_up=area, costs=SLOW_PAGES)
    await bounded.run_until(faults_begun(2))
    bounded.apply(SetBound(spf_inflight_max=1))
    await bounded.run()
    # One that had begun before the bound, and one at a time after it.
    assert bounded.stats().transient_pages_peak == 2


async def test_a_munmap_waits_for_the_ack_of_a_cpu_that_the_host_took(machine):
    m = machine(policy="classic", program=[store_and_stay, munmap_later], set_up=area)
    await m.run_until(lambda m: faults_begun(2)(m) and m.actor("mm")["sem"]["rwsem"]["writer"] is not None)
    m.inject("starved_cpu", cpu=0, duration_ns=300_000)
    await m.run()
    assert m.stats().ipi_wait_max_ns > 200_000
    assert_story(m, [("cpu1", "DownWrite"), ("cpu1", "FlushIpi"), ("cpu0", "IpiAck"), ("cpu1", "UpWrite")])


async def test_a_fault_ends_under_the_policy_under_which_it_began(machine):
    m = machine(policy="spf-v9", program=[store], set_up=area, costs=SLOW_PAGES)
    await m.run_until(faults_begun(2))
    m.apply(SetPolicy(policy="classic"))
    m.inject("fault", cpu=1, address=AREA + PAGE)
    result = await m.run()
    assert result.fault_paths == {"classic": 2, "spf": 1}
    assert_story(m, [("cpu0", "AllocPages"), ("cpu1", "DownRead"), ("cpu1", "UpRead")])


@pytest.mark.seeds(20)
async def test_nobody_loses_a_store_to_a_collapse(machine, seed):
    m = machine(policy="spf-v9", program=[store, store], set_up=area, collapses=[AREA])
    result = await m.run()
    assert result.stop.kind == "quiescent"
    assert result.collapses == {"succeeded": 1}
