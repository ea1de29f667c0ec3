"""page_accounting: pages mapped twice, leaked, freed twice, freed while mapped, used after the free."""

import pytest

from benchmarks.seeds import verdicts
from kactors.fault_policy import FaultPath
from kactors.observers.properties.page_accounting import PageAccounting
from kactors.policies.classic import Classic, classic_fault
from protocols.scenario import Khugepaged
from protocols.tracepoints import (
    FramePutBack,
    FrameTaken,
    MmPageAlloc,
    MmPageFree,
    PageDiscarded,
    PageMapped,
    PagesFound,
    PagesUnmapped,
    TableDestroyed,
    TableMade,
    UserStore,
)
from tests.actors.scenes import BASE, PAGE, PMD
from tests.observers.properties.stories import findings, fires, one_write, stopped, with_history

NAME = "page_accounting"


class Maps(Classic):
    """Serves a write in its own way where a page table exists: what it does with the page, a subclass says."""

    async def fault(self, cpu, address, *, write):
        pmd = await cpu.read_pmd(address)
        if pmd.table < 0:
            return await classic_fault(cpu, address, write=write)
        await cpu.down_read()
        page = await cpu.alloc_page(address)
        await self.serve(cpu, pmd.table, page)
        await cpu.up_read()
        return FaultPath.CLASSIC

    async def map(self, cpu, table, address, page):
        await cpu.pte_lock(table, address)
        cpu.set_pte(table, address, page.pfn, write=True)
        cpu.pte_unlock(table)


class MapsTwice(Maps):
    """One page at two addresses."""

    async def serve(self, cpu, table, page):
        await self.map(cpu, table, page.address, page)
        await self.map(cpu, table, page.address + PAGE, page)


class Forgets(Maps):
    """C14 is dropped: a page too many is not freed."""

    async def serve(self, cpu, table, page):
        await self.map(cpu, table, page.address, page)
        await cpu.alloc_page(page.address)


class FreesWhatItMapped(Maps):
    """A racing fault's loser, which frees although it has won."""

    async def serve(self, cpu, table, page):
        await self.map(cpu, table, page.address, page)
        await cpu.sync()
        await cpu.discard(page)


class FreesTwice(Maps):
    """A10 and C14 both free the loser's page."""

    async def serve(self, cpu, table, page):
        await self.map(cpu, table, page.address, await cpu.alloc_page(page.address))
        await cpu.discard(page)
        await cpu.discard(page)


class MapsAFreedPage(Maps):
    """Frees, and maps all the same."""

    async def serve(self, cpu, table, page):
        await cpu.discard(page)
        await self.map(cpu, table, page.address, page)


class MapsOver(Maps):
    """A10 is dropped: the page that was there is lost."""

    async def serve(self, cpu, table, page):
        await self.map(cpu, table, page.address, await cpu.alloc_page(page.address))
        await self.map(cpu, table, page.address, page)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (MapsTwice, f"but page {BASE >> 12:#x} maps it"),
        (Forgets, "cpu0 allocated it for the fault at"),
        (FreesWhatItMapped, f"but page {BASE >> 12:#x} maps it"),
        (FreesTwice, "it is free already (double free)"),
        (MapsAFreedPage, "but it is free"),
        (MapsOver, f"cpu0 took it out of page {BASE >> 12:#x}"),
    ],
)
def test_what_a_policy_does_wrong_with_its_page_is_told(policy, words):
    text = fires(NAME, one_write, set_up=with_history, policy=policy())
    assert words in text.replace(f"ptl@{BASE:x}", "cpu0")


@pytest.mark.parametrize(("policy", "scene"), [("broken-no-checks", "collapse"), ("broken-no-checks", "munmap")])
def test_a_page_mapped_where_nobody_finds_it_is_leaked(policy, scene):
    assert verdicts(policy, scene, range(40), only=NAME)[NAME] > 0
    assert verdicts("spf-v9", scene, range(40), only=NAME) == {"holds": 40}


def test_a_thread_that_frees_before_the_flush_lets_others_use_a_free_page():
    async def frees_early(thread):
        cpu = thread.cpu
        await thread.compute(15_000)
        await cpu.down_read()
        pmd = await cpu.read_pmd(BASE)
        await cpu.pte_lock(pmd.table, BASE)
        pfns = await cpu.zap_ptes(pmd.table, 0, 1)
        cpu.pte_unlock(pmd.table)
        await cpu.free_pages(pfns)
        await cpu.up_read()

    async def stores(thread):
        for _ in range(100):
            await thread.touch(BASE)
            await thread.compute(200)

    async def set_up(thread):
        await with_history(thread)
        await thread.touch(BASE)

    assert fires(NAME, frees_early, stores, set_up=set_up).startswith("cpu1 uses frame")


@pytest.mark.parametrize("policy", ["classic", "spf-v9", "per-vma"])
def test_huge_pages_tables_splits_and_discards_are_accounted_for(policy):
    async def set_up(thread):
        await thread.mmap(3 * PMD, address=BASE)
        await thread.madvise_hugepage(BASE, 3 * PMD)
        await thread.touch(BASE)

    async def work(thread):
        await thread.touch(BASE + PMD)
        await thread.mprotect(BASE + PMD, 5 * PAGE, writable=False)
        await thread.compute(3_000_000)
        await thread.madvise_dontneed(BASE, PMD)
        await thread.touch(BASE + 3 * PAGE)
        await thread.munmap(BASE + PMD, 2 * PMD)

    async def same(thread):
        await thread.touch(BASE + PMD)
        await thread.touch(BASE + 2 * PMD)
        await thread.compute(4_000_000)
        await thread.touch(BASE + 3 * PAGE)

    for huge in (False, True):
        khugepaged = Khugepaged(scan_sleep_millisecs=1, fault_huge=huge)
        stop = stopped(NAME, work, same, set_up=set_up, policy=policy, khugepaged=khugepaged)
        assert stop.kind == "quiescent", stop


def alloc(pfn):
    return MmPageAlloc(pfn=pfn, address=BASE, cpu=0)


def free(pfn, order=0):
    return MmPageFree(pfn=pfn, order=order)


def mapped(pfn, vpn, order=0):
    return PageMapped(pfn=pfn, vpn=vpn, order=order)


def unmapped(pfn, vpn, order=0):
    return PagesUnmapped(pfns=(pfn,), vpns=(vpn,), order=order)


def use(pfn, vpn):
    return UserStore(vpn=vpn, pfn=pfn, cpu=0)


HUGE = (FrameTaken(pfn=512, order=9), mapped(512, 1024, order=9))
TABLE = (FrameTaken(pfn=3, order=0), TableMade(table=9, pfn=3))
FOUND = PagesFound(first=100, pfns=(7, 8))
GONE = TableDestroyed(table=9, pfn=3, who="cpu0", pfns=())


@pytest.mark.parametrize(
    "story",
    [
        (alloc(7), mapped(7, 100), use(7, 100), unmapped(7, 100), use(7, 100), free(7), alloc(7)),
        (alloc(7), mapped(7, 100), mapped(7, 100)),
        (*HUGE, use(600, 1112), unmapped(512, 1024, order=9), free(512, order=9)),
        (*HUGE, unmapped(512, 1024, order=9), mapped(513, 1025), unmapped(513, 1025), free(513), alloc(513)),
        (*TABLE, GONE, FramePutBack(pfn=3, order=0)),
        (FOUND, use(8, 101), unmapped(8, 101), free(8), alloc(8)),
    ],
    ids=["a fault", "more rights", "huge", "split", "a table", "there from the beginning"],
)
def test_an_ordinary_life_is_no_finding(story):
    assert findings(PageAccounting(), *story) == []


@pytest.mark.parametrize(
    "story",
    [
        (alloc(7), alloc(7)),
        (alloc(7), mapped(7, 100), alloc(7)),
        (alloc(600), FrameTaken(pfn=512, order=9)),
        (alloc(7), mapped(7, 100), mapped(7, 101)),
        (alloc(7), alloc(8), mapped(7, 100), mapped(8, 100)),
        (alloc(7), mapped(7, 1030), FrameTaken(pfn=512, order=9), mapped(512, 1024, order=9)),
        (mapped(7, 100),),
        (alloc(8), FOUND),
        (FOUND, alloc(8)),
        (FOUND, alloc(9), mapped(9, 101)),
        (*TABLE, mapped(3, 100)),
        (*TABLE, FramePutBack(pfn=3, order=0)),
        (alloc(7), mapped(7, 100), free(7)),
        (*HUGE, free(700)),
        (free(7),),
        (alloc(7), PageDiscarded(pfn=7, address=0, zeroing=1), free(7)),
        (*TABLE, TableDestroyed(table=9, pfn=3, who="cpu0", pfns=(7,))),
        (alloc(7), mapped(7, 100), unmapped(7, 100), free(7), use(7, 100)),
        (alloc(7), mapped(7, 100), unmapped(7, 100), free(7), alloc(7), use(7, 100)),
        (alloc(7), mapped(7, 100), unmapped(7, 100), free(7), alloc(7), mapped(7, 101), use(7, 100)),
    ],
)
def test_two_places_or_none_is_a_finding(story):
    assert findings(PageAccounting(), *story) == [NAME]


def test_a_leak_is_judged_at_the_end():
    observer = PageAccounting()
    assert findings(observer, alloc(7), alloc(9), alloc(8), mapped(8, 100)) == []
    finding = observer.finish(99)
    assert finding.property == NAME
    assert "leaked by 99 ns: frame 7 (cpu0 allocated it for the fault at" in finding.text
    assert "and 1 more" in finding.text
    assert findings(observer, free(7), free(9)) == []
    assert observer.finish(100) is None
