"""store_lost: stores that nobody finds again, and accesses through translations that nobody took away."""

import pytest

from kactors.fault_policy import FaultPath
from kactors.kernel.pte import PTE_NONE, ZERO_PFN
from kactors.observers.properties.store_lost import StoreLost
from kactors.policies.classic import Classic, classic_fault
from protocols.tracepoints import MmPageAlloc, MmPageFree, PageCopied, PageMapped, RangeDiscarded, UserLoad, UserStore
from tests.actors.scenes import BASE, wait_until
from tests.observers.properties.stories import findings, fires, stopped, with_history

NAME = "store_lost"


class NoFlushOfTheZeroPage(Classic):
    """Replaces the zero page, but lets other CPUs keep its translation."""

    async def fault(self, cpu, address, *, write):
        pmd = await cpu.read_pmd(address)
        if write and pmd.table >= 0:
            pte = await cpu.pte_lock(pmd.table, address)
            if pte != PTE_NONE:
                cpu.clear_pte(pmd.table, address)
            cpu.pte_unlock(pmd.table)
        return await super().fault(cpu, address, write=write)


async def reads_before_and_after(thread):
    await thread.touch(BASE, write=False)
    await wait_until(thread, LATE_NS)
    await thread.touch(BASE, write=False)


async def writes_between(thread):
    await wait_until(thread, LATE_NS - 50_000)
    await thread.touch(BASE)


LATE_NS = 200_000


def test_a_load_through_a_translation_of_the_zero_page_misses_the_store():
    scene = (reads_before_and_after, writes_between)
    found = fires(NAME, *scene, set_up=with_history, policy=NoFlushOfTheZeroPage())
    assert f"page {BASE >> 12:#x}: cpu0 loads through its TLB at" in found
    assert f"frame {ZERO_PFN}" in found
    for policy in ("classic", "spf-v9", "per-vma"):
        assert stopped(NAME, *scene, set_up=with_history, policy=policy).kind == "quiescent"


class MapsOverWhatIsThere(Classic):
    """A10 is dropped: the entry is not looked at again under the lock."""

    async def fault(self, cpu, address, *, write):
        pmd = await cpu.read_pmd(address)
        if pmd.table < 0:
            return await classic_fault(cpu, address, write=write)
        await cpu.down_read()
        page = await cpu.alloc_page(address)
        await cpu.pte_lock(pmd.table, address)
        cpu.set_pte(pmd.table, address, page.pfn, write=write)
        cpu.pte_unlock(pmd.table)
        await cpu.up_read()
        return FaultPath.CLASSIC


def test_a_second_page_mapped_over_the_first_loses_what_was_stored():
    async def stores(thread):
        await thread.compute(thread.number * 6_000)
        await thread.touch(BASE)

    slow = {"clear_page_ns": 8_000}
    found = fires(NAME, stores, stores, set_up=with_history, policy=MapsOverWhatIsThere(), costs=slow)
    assert "maps another frame" in found


def store(vpn, pfn):
    return UserStore(vpn=vpn, pfn=pfn, cpu=0)


def alloc(pfn):
    return MmPageAlloc(pfn=pfn, address=0, cpu=0)


def mapped(pfn, vpn, order=0):
    return PageMapped(pfn=pfn, vpn=vpn, order=order)


def discard(first, last, *, done):
    return RangeDiscarded(first=first, last=last, done=done)


def copied(vpn, source, target):
    return PageCopied(vpn=vpn, source=source, target=target)


FAULTED = (alloc(7), mapped(7, 100), store(100, 7))


@pytest.mark.parametrize(
    "story",
    [
        FAULTED,
        (*FAULTED, store(100, 7), store(100, 7)),
        (*FAULTED, mapped(7, 100)),
        (*FAULTED, alloc(8), mapped(8, 101), store(101, 8)),
        (*FAULTED, discard(100, 101, done=False), discard(100, 101, done=True), alloc(8), mapped(8, 100)),
        (*FAULTED, discard(90, 110, done=False), store(100, 7), alloc(8), mapped(8, 100)),
        (*FAULTED, copied(100, 7, 512), mapped(512, 100, order=9)),
        (
            *FAULTED,
            discard(100, 101, done=False),
            discard(100, 101, done=True),
            alloc(7),
            mapped(7, 200),
            store(200, 7),
        ),
        (alloc(7), alloc(8), mapped(7, 100), store(100, 7)),
    ],
    ids=[
        "a fault",
        "more stores",
        "the same frame again",
        "another page",
        "discarded before",
        "being discarded",
        "collapsed with its content",
        "the frame used elsewhere",
        "a loser's page",
    ],
)
def test_a_store_that_can_be_found_or_may_be_gone_is_not_lost(story):
    assert findings(StoreLost(), *story) == []


@pytest.mark.parametrize(
    "story",
    [
        (*FAULTED, alloc(8), mapped(8, 100)),
        (*FAULTED, store(100, 8)),
        (*FAULTED, copied(100, -1, 512), mapped(512, 100, order=9)),
        (*FAULTED, copied(100, 7, 512), store(100, 7), mapped(512, 100, order=9)),
        (*FAULTED, discard(101, 110, done=False), discard(101, 110, done=True), alloc(8), mapped(8, 100)),
        (
            *FAULTED,
            discard(100, 101, done=False),
            discard(100, 101, done=True),
            store(100, 9),
            alloc(8),
            mapped(8, 100),
        ),
        (alloc(7), mapped(7, 105), store(105, 7), mapped(512, 100, order=9)),
    ],
    ids=[
        "another frame mapped over it",
        "a store through a stale translation",
        "a collapse that did not see the page",
        "a store during the copy",
        "another range discarded",
        "a store after the discard",
        "a huge page mapped over it",
    ],
)
def test_a_store_that_nobody_can_find_again_is_lost(story):
    assert findings(StoreLost(), *story) == [NAME]


def test_two_discards_of_the_same_range_may_overlap():
    story = [discard(100, 101, done=False), discard(100, 101, done=False), discard(100, 101, done=True)]
    observer = StoreLost()
    assert findings(observer, *FAULTED, *story, alloc(8), mapped(8, 100)) == []
    assert findings(observer, discard(100, 101, done=True), store(100, 8), alloc(9), mapped(9, 100)) == [NAME]


def load(vpn, pfn):
    return UserLoad(vpn=vpn, pfn=pfn, cpu=1)


@pytest.mark.parametrize(
    "story",
    [
        (load(100, ZERO_PFN),),
        (*FAULTED, load(100, 7)),
        (*FAULTED, discard(100, 101, done=False), load(100, 7)),
        (*FAULTED, discard(100, 101, done=False), store(100, 7), discard(100, 101, done=True), load(100, 7)),
        (*FAULTED, discard(100, 101, done=False), discard(100, 101, done=True), load(100, ZERO_PFN)),
        (*FAULTED, copied(100, 7, 512), load(100, 512)),
        (*FAULTED, MmPageFree(pfn=7, order=0), load(200, 7)),
    ],
    ids=["zeroes", "the store", "being discarded", "stored meanwhile", "discarded", "collapsed", "freed since"],
)
def test_a_load_that_reads_the_latest_store_or_may_read_zeroes_is_right(story):
    assert findings(StoreLost(), *story) == []


@pytest.mark.parametrize(
    "story",
    [
        (*FAULTED, load(100, ZERO_PFN)),
        (*FAULTED, alloc(8), mapped(8, 101), store(101, 8), load(100, 8)),
        (*FAULTED, load(200, 7)),
        (*FAULTED, copied(100, 7, 512), store(100, 512), load(100, 7)),
        (*FAULTED, MmPageFree(pfn=7, order=0), load(100, 7)),
    ],
    ids=["the zero page", "another page's frame", "no store of its own", "the frame of before", "a freed frame"],
)
def test_a_load_that_misses_the_latest_store_is_a_finding(story):
    assert findings(StoreLost(), *story) == [NAME]
