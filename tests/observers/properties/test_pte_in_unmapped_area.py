"""pte_in_unmapped_area: a page mapped where munmap has taken the area away, or where none ever was."""

import pytest

from kactors.observers.properties.pte_in_unmapped_area import PteInUnmappedArea
from kactors.policies.classic import Classic, classic_fault
from kactors.policies.huge_faults import fault_huge
from protocols.tracepoints import PageMapped, PteSet, RangeMapped, RangeUnmapped
from protocols.vma import VmaKind, VmaSnapshot
from tests.actors.scenes import BASE, PAGE, PMD
from tests.observers.properties.stories import findings, fires, stopped, with_history

NAME = "pte_in_unmapped_area"


class NoFindVma(Classic):
    """Takes mmap_sem, and does not look whether the area is still there."""

    async def fault(self, cpu, address, *, write):
        await cpu.down_read()
        pmd = await cpu.read_pmd(address)
        table = pmd.table if pmd.table >= 0 else await cpu.install_table(address)
        page = await cpu.alloc_page(address)
        await cpu.pte_lock(table, address)
        cpu.set_pte(table, address, page.pfn, write=write)
        cpu.pte_unlock(table)
        await cpu.up_read()
        return await classic_fault(cpu, address, write=write)


async def touch_what_is_gone(thread):
    await thread.munmap(BASE, 4 * PAGE)
    await thread.touch(BASE + PAGE)


def test_a_fault_after_munmap_must_find_no_area():
    found = fires(NAME, touch_what_is_gone, set_up=with_history, policy=NoFindVma())
    assert "PTE 1 of page table" in found
    assert f"page {(BASE + PAGE) >> 12:#x} lies in no area" in found


@pytest.mark.parametrize("policy", ["classic", "spf-v9", "per-vma"])
def test_a_fault_that_segfaults_is_none(policy):
    assert stopped(NAME, touch_what_is_gone, set_up=with_history, policy=policy).kind == "quiescent"


def test_a_huge_page_counts_too():
    async def install(thread):
        cpu = thread.cpu
        await thread.munmap(BASE, PMD)
        await fault_huge(cpu, seen_before, BASE)

    flags = {"readable": True, "writable": True, "anon_vma": True, "hugepage": True}
    seen_before = VmaSnapshot(vma_id=1, start=BASE, end=BASE + PMD, kind=VmaKind.ANON, sequence=0, **flags)

    async def set_up(thread):
        await thread.mmap(PMD, address=BASE)
        thread.cpu.huge_faults = True

    assert "a huge PMD is set" in fires(NAME, install, set_up=set_up)


def mapped(first, last):
    return RangeMapped(first=first, last=last)


def unmapped(first, last):
    return RangeUnmapped(first=first, last=last)


def pte(vpn):
    return PteSet(table=4, pmd_address=0, index=vpn % 512, vpn=vpn, value=5)


@pytest.mark.parametrize(
    ("story", "inside"),
    [
        ((mapped(10, 20),), range(10, 20)),
        ((mapped(10, 20), unmapped(12, 15)), (*range(10, 12), *range(15, 20))),
        ((mapped(10, 20), unmapped(12, 15), mapped(13, 14)), (10, 11, 13, *range(15, 20))),
        ((mapped(10, 20), unmapped(0, 12), unmapped(18, 40)), range(12, 18)),
        ((mapped(10, 20), mapped(20, 30), unmapped(10, 30)), ()),
        ((mapped(20, 30), mapped(10, 12), mapped(12, 20)), range(10, 30)),
        ((mapped(10, 20), unmapped(30, 40)), range(10, 20)),
        ((), ()),
    ],
)
def test_ranges_are_added_and_taken_away(story, inside):
    for vpn in range(45):
        assert findings(PteInUnmappedArea(), *story, pte(vpn)) == ([] if vpn in inside else [NAME])
        huge = PageMapped(pfn=512, vpn=vpn, order=9)
        assert findings(PteInUnmappedArea(), *story, huge) == ([] if vpn in inside else [NAME])
        assert findings(PteInUnmappedArea(), *story, PageMapped(pfn=512, vpn=vpn, order=0)) == []
