"""File areas: reads map what is there, private writes copy, shared writes ask the file system; under three policies."""

from collections import Counter

import pytest

from kactors.kernel.pte import pte_pfn, pte_write
from kactors.machines import load_machine
from protocols.page_cache import AddToPageCache, Filesystem, FindLockPage, PageMkwrite, SetPageDirty
from protocols.page_table import SetPte
from protocols.scenario import Khugepaged
from protocols.tlb import FlushTlb
from protocols.tracepoints import PageCopied, PageFaultUser, RegisterSet
from protocols.vma import MappedFile, VmaKind
from tests.accounting import assert_file_pages_are_counted, assert_settled, pages_mapped
from tests.actors.scenes import BASE, PAGE, PMD, Delivered, Heard, played

POLICIES = ["classic", "spf-v9", "spf-2021", "per-vma-6.4", "per-vma"]
FIRST = BASE // PAGE


class FileArea:
    """A machine whose workers share a file of so many pages, mapped by the set-up at BASE."""

    def __init__(
        self,
        *bodies,
        shared=False,
        filesystem=Filesystem.TMPFS,
        cached=False,
        pages=40,
        offset=0,
        writable=True,
        before=None,
        settles=True,
        **options,
    ):
        self.heard = Heard(PageFaultUser, RegisterSet)
        self.said = Delivered(AddToPageCache, FindLockPage, PageMkwrite, SetPageDirty, SetPte, FlushTlb)

        async def set_up(thread):
            file = await thread.open_file(filesystem, cached=cached)
            self.file = MappedFile(file=file, offset=offset, shared=shared)
            mapped = await thread.mmap(pages * PAGE, address=BASE, writable=writable, file=self.file)
            assert mapped == BASE
            if before is not None:
                await before(thread)
            self.set_up_faults = len(self.heard.of(PageFaultUser))

        observers = [self.heard, self.said, *options.pop("observers", ())]
        self.machine, self.result = played(*bodies, set_up=set_up, observers=observers, **options)
        if settles:
            assert_settled(self.machine)
        self.cache = self.machine.system.page_cache
        self.mapped = pages_mapped(self.machine.system)

    @property
    def faults(self):
        """Pages that the workers faulted on, counted from the area's beginning."""
        return [(fault.address - BASE) // PAGE for fault in self.heard.of(PageFaultUser)[self.set_up_faults :]]

    def page(self, index):
        """The file's page, None for a hole."""
        return self.cache._pages.file(self.file.file).pages.get(index)

    def entry(self, index):
        """(maps the file's page, writable) of a page of the area; None where nothing is mapped."""
        value = self.mapped.get(FIRST + index)
        return None if value is None else (self.cache._pages.of_frame(pte_pfn(value)) is not None, pte_write(value))

    def times(self, kind):
        return sum(type(message) is kind for _, _, message in self.said.all)


def touching(*pages, write=True):
    async def body(thread):
        for page in pages:
            assert await thread.touch(BASE + page * PAGE, write=write)

    return body


# --- reads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_a_read_maps_the_16_pages_around_that_are_there(policy):
    area = FileArea(touching(*range(40), write=False), cached=True, policy=policy)
    assert area.faults == [0, 16, 32]
    assert {area.entry(index) for index in range(40)} == {(True, False)}
    assert area.times(FindLockPage) == 0


def test_a_read_of_a_hole_brings_one_page_of_zeroes():
    area = FileArea(touching(20, write=False))
    assert area.faults == [20]
    assert [index for index in range(40) if area.entry(index)] == [20]
    assert area.page(20).mapcount == 1
    assert area.page(19) is None


def test_the_window_begins_and_ends_with_area_and_page_table():
    beyond = 512 - 3
    pages = range(beyond, beyond + 6)
    area = FileArea(touching(beyond + 1, beyond + 4, write=False), cached=True, pages=beyond + 6)
    assert [index for index in range(beyond - 20, beyond + 6) if area.entry(index)] == [*range(496, 512), *pages[3:]]
    low = FileArea(touching(2, write=False), cached=True, pages=4)
    assert [index for index in range(5) if low.entry(index)] == [0, 1, 2, 3]


def test_an_area_that_begins_inside_the_window_shifts_it_but_not_into_the_next_page_table():
    async def cut_off(thread):
        await thread.munmap(BASE, 505 * PAGE)

    area = FileArea(touching(506, write=False), before=cut_off, cached=True, pages=1024)
    assert [index for index in range(1024) if area.entry(index)] == list(range(505, 512))
    shifted = FileArea(touching(2, write=False), before=cut_first_page, cached=True, pages=40)
    assert [index for index in range(40) if shifted.entry(index)] == list(range(1, 17))


async def cut_first_page(thread):
    await thread.munmap(BASE, PAGE)


@pytest.mark.parametrize(("around", "pages"), [(3 * PAGE, 2), (2 * PAGE - 1, 1), (PMD, 512), (1 << 30, 512)])
def test_the_window_is_a_power_of_two_of_pages_and_at_most_a_page_table(around, pages):
    costs = {"fault_around_bytes": around}
    area = FileArea(touching(512, write=False), cached=True, pages=1024, costs=costs)
    assert [index for index in range(1024) if area.entry(index)] == list(range(512, 512 + pages))


def test_without_fault_around_a_read_maps_its_page_only():
    area = FileArea(touching(3, 4, write=False), cached=True, costs={"fault_around_bytes": PAGE})
    assert area.faults == [3, 4]
    assert [index for index in range(40) if area.entry(index)] == [3, 4]


def test_fault_around_leaves_what_is_mapped_and_gives_back_what_it_did_not_need():
    area = FileArea(touching(3), before=touching(5, write=False), cached=True)
    assert area.entry(3) == (False, True), "a write first: its copy stays"
    again = FileArea(touching(5, write=False), before=touching(3), cached=True)
    assert again.entry(3) == (False, True)
    assert again.entry(4) == (True, False)
    assert again.page(3).mapcount == 0


def test_an_areas_offset_and_a_split_lead_to_the_right_page():
    async def split_and_touch(thread):
        await thread.mprotect(BASE + 8 * PAGE, 8 * PAGE, writable=False)
        await thread.touch(BASE + 9 * PAGE, write=False)

    area = FileArea(split_and_touch, offset=5 * PAGE, costs={"fault_around_bytes": PAGE})
    assert area.page(14).mapcount == 1
    vma = area.machine.system.mm.tree.find(BASE + 9 * PAGE)
    assert (vma.start, vma.mapped_file.offset) == (BASE + 8 * PAGE, 13 * PAGE)


def test_filling_a_hole_takes_as_long_as_the_memorys_channels_need():
    took_ns = [
        FileArea(touching(3, write=False), costs=costs).result.virtual_ns for costs in ({}, {"memory_bandwidth_gbs": 1})
    ]
    clear_ns = load_machine("small").clear_page_ns
    assert took_ns[1] - took_ns[0] == PAGE - clear_ns


# --- private writes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_a_private_write_copies_the_page_and_leaves_the_files_alone(policy):
    area = FileArea(touching(0, 1), policy=policy)
    assert area.faults == [0, 1]
    assert area.entry(0) == (False, True)
    assert (area.page(0).mapcount, area.page(0).dirty) == (0, False)
    assert area.machine.system.mm.tree.find(BASE).anon_vma
    assert area.times(FlushTlb) == 0
    assert area.machine.system.account_pages().file_pages == 2


@pytest.mark.parametrize("policy", POLICIES)
def test_a_private_write_after_a_read_replaces_the_entry_with_a_flush(policy):
    area = FileArea(touching(0), before=touching(0, write=False), policy=policy)
    assert area.entry(0) == (False, True)
    assert area.page(0).mapcount == 0
    assert area.times(FlushTlb) == 1


def test_a_copy_of_ones_own_only_gets_its_right_back():
    async def protect_and_write(thread):
        for writable in (False, True):
            await thread.mprotect(BASE, 40 * PAGE, writable=writable)
        await touching(0)(thread)

    area = FileArea(protect_and_write, before=touching(0))
    assert area.entry(0) == (False, True)
    assert area.times(FindLockPage) == 1, "for the first write"
    assert area.result.transient.allocated == 1


def test_a_copy_costs_what_copying_costs():
    def spent(copy_page_ns):
        area = FileArea(touching(0), before=touching(1), cached=True, costs={"copy_page_ns": copy_page_ns})
        return area.machine.system.engine.now_ns

    assert spent(10_000) - spent(1_000) == 2 * 9_000


def test_who_copies_the_same_page_waits_for_its_lock():
    costs = {"copy_page_ns": 50_000, "wake_ns": 100}
    one = FileArea(touching(1), touching(2), before=touching(0), cached=True, costs=costs)
    same = FileArea(touching(1), touching(1), before=touching(0), cached=True, costs=costs)
    assert same.result.stop.kind == one.result.stop.kind == "quiescent"
    assert same.machine.system.engine.now_ns > one.machine.system.engine.now_ns + 45_000
    assert same.result.transient.wasted == 1


# --- shared writes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("filesystem", Filesystem)
def test_a_shared_write_maps_the_files_page_and_makes_it_dirty(filesystem, policy):
    area = FileArea(touching(0, 1), shared=True, filesystem=filesystem, policy=policy)
    assert area.faults == [0, 1]
    assert area.entry(0) == (True, True)
    assert (area.page(0).mapcount, area.page(0).dirty) == (1, True)
    counted = filesystem is Filesystem.EXT4
    assert area.times(PageMkwrite) == 2 * counted
    assert area.result.vmstat.get("nr_dirtied", 0) == 2 * counted


@pytest.mark.parametrize(("filesystem", "faults"), [(Filesystem.TMPFS, []), (Filesystem.EXT4, [0])])
def test_the_first_write_after_a_read_is_heard_of_where_the_file_system_wants_to(filesystem, faults):
    area = FileArea(touching(0), before=touching(0, write=False), shared=True, filesystem=filesystem)
    assert area.faults == faults
    assert area.entry(0) == (True, True)
    assert area.page(0).mapcount == 1


def test_the_first_write_after_a_write_protection_faults_again():
    async def protect_and_write(thread):
        for writable in (False, True):
            await thread.mprotect(BASE, 40 * PAGE, writable=writable)
        await touching(0)(thread)

    area = FileArea(protect_and_write, before=touching(0), shared=True, filesystem=Filesystem.EXT4)
    assert area.faults == [0]
    assert area.times(PageMkwrite) == 2
    assert area.result.vmstat["nr_dirtied"] == 1, "it was dirty already"


def test_a_page_that_was_written_through_a_readers_entry_becomes_dirty_at_munmap():
    async def unmap(thread):
        await thread.munmap(BASE, 40 * PAGE)

    area = FileArea(unmap, before=touching(0, write=False), shared=True)
    assert area.page(0).dirty
    clean = FileArea(unmap, before=touching(0, write=False), shared=True, filesystem=Filesystem.EXT4)
    assert not clean.page(0).dirty


def test_two_areas_of_one_file_share_its_pages():
    async def other_area(thread):
        await thread.touch(await thread.mmap(PAGE, file=MappedFile(file=0, offset=0, shared=True)))

    area = FileArea(other_area, before=touching(0), shared=True)
    assert area.page(0).mapcount == 2
    assert area.machine.system.account_pages().file_pages == 1


# --- policies ---------------------------------------------------------------------------------------------------------


def test_speculation_leaves_files_to_the_classic_path():
    area = FileArea(touching(0), touching(1), policy="spf-v9")
    assert area.result.counters.spf_vma_notsup == 2
    assert area.result.fault_paths == {"classic": 2}


@pytest.mark.parametrize(
    ("shared", "write", "paths"),
    [
        (False, False, {"vma_lock": 1}),
        (False, True, {"classic": 1}),
        (True, False, {"vma_lock": 1}),
        (True, True, {"vma_lock": 1}),
    ],
)
def test_only_a_private_write_needs_mmap_lock_for_the_first_anon_vma(shared, write, paths):
    area = FileArea(touching(0, write=write), policy="per-vma", shared=shared)
    assert area.result.fault_paths == paths


def test_khugepaged_and_huge_faults_leave_files_alone():
    async def advise(thread):
        await thread.madvise_hugepage(BASE, 2 * PMD)
        await touching(*range(512))(thread)
        await thread.compute(3_000_000)

    copied = Heard(PageCopied)
    area = FileArea(
        advise, pages=1024, observers=[copied], khugepaged=Khugepaged(scan_sleep_millisecs=1, fault_huge=True)
    )
    assert copied.all == []
    assert area.result.collapses.keys() == {"vma_check_failed"}
    assert "thp_fault_alloc" not in area.result.vmstat


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("filesystem", Filesystem)
@pytest.mark.parametrize("shared", [False, True])
def test_threads_that_do_everything_at_once_leave_all_counts_right(shared, filesystem, policy):
    async def busy(thread):
        for page in range(0, 40, 3):
            await thread.touch(BASE + page * PAGE, write=False)
        for page in range(40):
            await thread.touch(BASE + page * PAGE)
        await thread.mprotect(BASE, 20 * PAGE, writable=thread.number == 1)
        await thread.madvise_dontneed(BASE + 10 * PAGE, 4 * PAGE)
        for page in range(40):
            await thread.touch(BASE + page * PAGE, write=page >= 20)
        if thread.number == 1:
            await thread.munmap(BASE, 30 * PAGE)

    area = FileArea(busy, busy, busy, shared=shared, filesystem=filesystem, policy=policy, cpus=3)
    assert len(area.cache.frames()) == 40


async def touch_all(thread):
    """Each thread begins elsewhere, so that all of them want memory when it ends."""
    for page in range(400):
        await thread.touch(BASE + (page + 100 * thread.number) % 400 * PAGE)


async def read_all(thread):
    for page in range(400):
        await thread.touch(BASE + page * PAGE, write=False)


@pytest.mark.parametrize(
    ("kind", "before"),
    [
        ({"shared": False}, None),
        ({"shared": False, "cached": True}, read_all),
        ({"shared": True}, None),
        ({"shared": False, "filesystem": Filesystem.EXT4}, touching(399, write=False)),
    ],
    ids=["holes and copies", "copies of what is mapped", "holes", "holes of ext4"],
)
@pytest.mark.parametrize("policy", ["classic", "per-vma"])
def test_whatever_a_fault_holds_when_memory_ends_is_let_go(kind, before, policy):
    costs = {"memory_mib": 1, "page_cache_mib": 0}
    options = {"before": before, "policy": policy, "costs": costs, **kind}
    area = FileArea(*[touch_all] * 4, cpus=4, pages=400, settles=False, **options)
    assert_file_pages_are_counted(area.machine.system)
    assert area.result.memory.oom_kills == 1
    assert area.machine.system.account_pages().conserved
    assert area.result.transient.now == 0


def test_a_file_area_without_a_file_maps_one_of_its_own_that_was_cached():
    async def two_areas(thread):
        for _ in range(2):
            await thread.touch(await thread.mmap(PAGE, kind=VmaKind.FILE), write=False)

    machine, _ = played(two_areas)
    assert_settled(machine)
    assert Counter(page.mapcount for page in machine.system.page_cache._pages) == {1: 2}
    assert machine.system.account_pages().file_pages == 0
