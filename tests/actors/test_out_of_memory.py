"""Threads that need more memory than there is: reclaim, draining, the OOM killer, and an orderly end."""

import pytest
from hypothesis import given, settings, strategies as st

from kactors import Machine, Scenario
from kactors.workloads import Program
from protocols.scenario import Bounds
from protocols.tracepoints import OomKill
from tests.accounting import assert_settled
from tests.actors.scenes import PAGE, Heard, played

POLICIES = ("classic", "spf-v9", "per-vma")
ONE_MIB = {"memory_mib": 1}


def touching(pages, then=None):
    async def work(thread):
        start = await thread.mmap(pages * PAGE)
        for page in range(pages):
            await thread.touch(start + page * PAGE)
        if then is not None:
            await then(thread)
        thread.record_done()

    return work


@pytest.mark.parametrize("policy", POLICIES)
def test_page_cache_is_reclaimed_before_anybody_is_killed(policy):
    machine, result = played(
        *[touching(200)] * 2, policy=policy, costs={"memory_mib": 2, "page_cache_mib": 1, "reclaim_page_ns": 10_000}
    )
    assert result.throughput.records == 2
    assert result.memory.oom_kills == 0
    assert result.vmstat["pgsteal_kswapd"] + result.vmstat.get("pgsteal_direct", 0) >= 180
    assert result.memory.watermarks_crossed["low"] >= 1
    assert_settled(machine)


@pytest.mark.parametrize("policy", POLICIES)
def test_when_nothing_is_left_the_process_is_killed_and_its_threads_end(policy):
    kills = Heard(OomKill)
    machine, result = played(*[touching(300)] * 4, cpus=3, policy=policy, costs=ONE_MIB, observers=[kills])
    assert result.memory.oom_kills == len(kills.all) == 1
    assert result.throughput.records == 0
    assert result.memory.watermarks_crossed["min"] >= 1
    assert_settled(machine)


def test_pages_in_the_lists_of_other_cpus_are_found_before_anybody_is_killed():
    async def give_back(thread):
        start = await thread.mmap(100 * PAGE)
        for page in range(100):
            await thread.touch(start + page * PAGE)
        await thread.munmap(start, 100 * PAGE)

    async def take_later(thread):
        await thread.compute(400_000)
        await touching(170)(thread)

    machine, result = played(give_back, take_later, costs=ONE_MIB | {"slice_ns": 10_000_000})
    assert result.throughput.records == 1
    assert result.memory.oom_kills == 0
    assert result.vmstat["allocstall_normal"] >= 16
    assert_settled(machine)


def test_a_killed_thread_ends_while_it_computes_and_needs_no_fault_for_it():
    async def computing(thread):
        while True:
            await thread.compute(1_000)

    machine, result = played(touching(300), computing, costs=ONE_MIB)
    assert result.stop.kind == "quiescent"
    assert result.memory.oom_kills == 1
    assert_settled(machine)


def test_threads_that_wait_for_mmap_sem_end_after_they_got_it():
    """The killed reader releases mmap_sem on its way out, though it could not finish its fault."""

    async def map_and_unmap(thread):
        while True:
            await thread.munmap(await thread.mmap(PAGE), PAGE)
            await thread.compute(10_000)

    bodies = [touching(300)] * 4 + [map_and_unmap] * 2
    machine, result = played(*bodies, cpus=6, costs=ONE_MIB | {"pcp_batch": 31})
    assert result.memory.oom_kills == 1
    assert_settled(machine)


@st.composite
def shortages(draw):
    batch, high = draw(st.sampled_from([(1, 6), (1, 186), (31, 186)]))
    costs = {
        "memory_mib": draw(st.sampled_from([1, 2])),
        "page_cache_mib": draw(st.sampled_from([0, 0, 1])),
        "slice_ns": draw(st.sampled_from([10_000, 3_000_000])),
        "pcp_batch": batch,
        "pcp_high": high,
    }
    costs["memory_mib"] += costs["page_cache_mib"]
    bounds = Bounds(spf_inflight_max=draw(st.sampled_from([None, 1, 2])))
    return {"costs": costs, "bounds": bounds, "seed": draw(st.integers(0, 2**32)), "cpus": draw(st.integers(1, 6))}


DEEDS = st.sampled_from(["touch"] * 20 + ["read"] * 3 + ["dontneed", "mprotect", "munmap", "compute"])


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=8)
@given(shortage=shortages(), threads=st.integers(1, 5), data=st.data())
def test_whatever_is_under_way_when_memory_ends_is_let_go_in_order(policy, shortage, threads, data):
    script = data.draw(st.lists(DEEDS, min_size=30, max_size=30))

    async def work(thread):
        start = await thread.mmap(250 * PAGE)
        for page in range(250):
            place = start + page // 2 * PAGE
            match script[(page + thread.number) % len(script)]:
                case "touch":
                    await thread.touch(start + page * PAGE)
                case "read":
                    await thread.touch(start + page * PAGE, write=False)
                case "dontneed":
                    await thread.madvise_dontneed(place, 5 * PAGE)
                case "mprotect":
                    await thread.mprotect(place, 5 * PAGE, writable=page % 3 == 0)
                case "munmap":
                    await thread.munmap(place, 3 * PAGE)
                case "compute":
                    await thread.compute(30_000)

    scenario = Scenario(machine="small", policy=policy, events_max=300_000, **shortage)
    machine = Machine(scenario, workload=Program([work] * threads))
    machine.run()
    assert_settled(machine)


def test_a_killed_process_keeps_its_pages_mapped():
    """The model ends with the process: exit_mmap, which would free all, is not in it."""
    machine, _ = played(touching(300), costs=ONE_MIB)
    account = machine.system.account_pages()
    assert account.mapped > 200
    assert account.conserved
