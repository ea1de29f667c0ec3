"""Clearing pages: one CPU takes as long as it needs itself, many of a socket as long as the channels need."""

import pytest

from kactors.kernel.accounting import Spent
from tests.actors.scenes import BASE, PAGE, PMD, played, spent

CLEAR_NS = 1000
PAGES = 20


def faulting(cpus, **costs):
    """How long ``cpus`` threads take for PAGES faults each, all in page tables of their own."""

    async def body(thread):
        first = BASE + (thread.number - 1) * PMD
        for page in range(PAGES):
            await thread.touch(first + page * PAGE)
        thread.record_done()

    async def set_up(thread):
        await thread.mmap(cpus * PMD, address=BASE)
        for number in range(cpus):
            await thread.touch(BASE + number * PMD + PAGES * PAGE)

    costs = {"clear_page_ns": CLEAR_NS, "line_cache_ns": 0, "line_core_ns": 0, "zone_page_ns": 0, **costs}
    _, result = played(*[body] * cpus, set_up=set_up, cpus=cpus, policy="per-vma", costs=costs)
    return result.throughput.measured_ns


@pytest.mark.parametrize(("cpus", "gbs"), [(1, 5), (4, 20)])
def test_below_the_bandwidth_nobody_waits(cpus, gbs):
    assert faulting(cpus, memory_bandwidth_gbs=gbs) == pytest.approx(faulting(cpus), rel=0.02)


def test_beyond_it_all_together_are_as_fast_as_the_channels():
    cpus, gbs = 8, 2
    channels_ns = cpus * PAGES * PAGE // gbs
    assert faulting(cpus, memory_bandwidth_gbs=gbs) == pytest.approx(channels_ns, rel=0.05)
    assert faulting(cpus) < channels_ns / 5


def test_two_sockets_have_twice_the_bandwidth():
    cpus, gbs = 8, 2
    one = faulting(cpus, memory_bandwidth_gbs=gbs)
    assert faulting(cpus, memory_bandwidth_gbs=gbs, cores_per_cache=4) == pytest.approx(one / 2, rel=0.05)


def copying(cpus, **costs):
    """How long ``cpus`` threads take to copy 4 MiB each, a block of 2 MiB in 200 us alone, and CPU 0's user time."""

    async def body(thread):
        await thread.copy(2 * PMD)
        thread.record_done()

    costs = {"copy_huge_ns": 200_000, "jitter_percent": 0, **costs}
    machine, result = played(*[body] * cpus, cpus=cpus, costs=costs)
    return result.throughput.measured_ns, spent(machine, 0, Spent.USER)


def test_a_copy_is_user_code_that_reads_and_writes():
    took_ns, user_ns = copying(1)
    assert user_ns == pytest.approx(400_000, rel=0.01)
    assert took_ns == pytest.approx(user_ns, rel=0.05)
    through_ns = 2 * 2 * PMD // 10
    assert copying(1, memory_bandwidth_gbs=10)[1] == pytest.approx(through_ns, rel=0.01)


def test_copies_of_many_cpus_share_the_bandwidth_in_turns():
    cpus, gbs = 4, 20
    took_ns, user_ns = copying(cpus, memory_bandwidth_gbs=gbs)
    assert took_ns == pytest.approx(cpus * 2 * 2 * PMD / gbs, rel=0.05)
    assert user_ns > 0.5 * took_ns


def test_a_part_of_a_block_takes_a_part_of_the_time():
    async def body(thread):
        await thread.copy(PMD + PMD // 4)

    machine, _ = played(body, costs={"copy_huge_ns": 200_000, "jitter_percent": 0})
    assert spent(machine, 0, Spent.USER) == pytest.approx(250_000, rel=0.01)
