"""store_to_read_only: a store that mprotect should have kept out."""

import pytest

from kactors.observers.properties.store_to_read_only import StoreToReadOnly
from kactors.policies import load_policy
from protocols.tracepoints import RangeMapped, RangeProtected, UserStore
from tests.actors.scenes import BASE, PAGE
from tests.observers.properties.stories import findings, fires, stopped, with_history

NAME = "store_to_read_only"
POLICIES = ("classic", "spf-v9", "per-vma")

STORE = UserStore(vpn=5, pfn=1, cpu=0)


def protect(first, last, *, writable=False):
    return RangeProtected(first=first, last=last, writable=writable)


@pytest.mark.parametrize(
    ("story", "found"),
    [
        ([STORE], 0),
        ([protect(0, 10), STORE], 1),
        ([protect(0, 5), STORE], 0),
        ([protect(5, 6), STORE], 1),
        ([protect(6, 9), STORE], 0),
        ([protect(0, 10), protect(5, 6, writable=True), STORE], 0),
        ([protect(0, 10), protect(6, 7, writable=True), STORE], 1),
        ([protect(0, 10), protect(4, 5, writable=True), STORE], 1),
        ([protect(0, 10), RangeMapped(first=2, last=6), STORE], 0),
        ([protect(0, 10), protect(5, 6, writable=True), protect(0, 10), STORE], 1),
    ],
)
def test_a_store_counts_where_none_is_permitted(story, found):
    assert len(findings(StoreToReadOnly(), *story)) == found


async def store(thread):
    await thread.touch(BASE)


async def store_for_long(thread):
    for _ in range(100):
        await thread.touch(BASE)
        await thread.compute(500)


async def protect_late(thread):
    await thread.compute(20_000)
    await thread.mprotect(BASE, PAGE, writable=False)


@pytest.mark.parametrize("policy", POLICIES)
def test_mprotect_ends_the_stores_of_all_cpus(policy):
    assert stopped(NAME, store_for_long, protect_late, set_up=with_history, policy=policy).kind == "quiescent"


def test_a_tlb_that_was_not_flushed_lets_stores_through():
    policy = load_policy("broken-mprotect-no-flush")
    assert f"page {BASE >> 12:#x}" in fires(NAME, store_for_long, protect_late, set_up=with_history, policy=policy)


def test_a_fault_that_does_not_ask_for_permission_lets_a_store_through():
    async def set_up(thread):
        await with_history(thread)
        await thread.mprotect(BASE, PAGE, writable=False)

    fires(NAME, store, set_up=set_up, policy=load_policy("broken-no-access-check"))


@pytest.mark.parametrize("policy", POLICIES)
def test_an_area_that_is_mapped_read_only_takes_no_store_until_mprotect_permits_it(policy):
    async def work(thread):
        start = await thread.mmap(4 * PAGE, writable=False)
        assert not await thread.touch(start)
        await thread.mprotect(start, 4 * PAGE, writable=True)
        assert await thread.touch(start)
        await thread.munmap(start, 4 * PAGE)
        assert await thread.mmap(4 * PAGE, address=start) == start
        assert await thread.touch(start)

    assert stopped(NAME, work, set_up=with_history, policy=policy).kind == "quiescent"
