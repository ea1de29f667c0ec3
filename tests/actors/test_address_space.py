"""What mmap, munmap, mprotect and madvise leave in the tree of areas."""

import pytest

from protocols.vma import VmaKind
from tests.accounting import assert_settled
from tests.actors.scenes import BASE, PAGE, played

POLICIES = ("classic", "spf-v9", "per-vma")


def areas_after(body, policy="classic"):
    """Run one thread; return its areas as (first page, last page + 1, rights), and the machine."""
    machine, _ = played(body, policy=policy)
    assert_settled(machine)
    rights = {(True, True): "rw", (True, False): "r", (False, False): "-", (False, True): "w"}
    return [
        ((vma.start - BASE) // PAGE, (vma.end - BASE) // PAGE, rights[vma.readable, vma.writable])
        for vma in machine.system.mm.tree
    ], machine


async def ten_pages(thread):
    await thread.mmap(10 * PAGE, address=BASE)
    for page in range(10):
        await thread.touch(BASE + page * PAGE)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("first", "last", "left"),
    [
        (0, 10, []),
        (0, 4, [(4, 10, "rw")]),
        (6, 10, [(0, 6, "rw")]),
        (3, 5, [(0, 3, "rw"), (5, 10, "rw")]),
        (8, 20, [(0, 8, "rw")]),
        (12, 14, [(0, 10, "rw")]),
    ],
)
def test_munmap_cuts_out_its_range(policy, first, last, left):
    async def body(thread):
        await ten_pages(thread)
        await thread.munmap(BASE + first * PAGE, (last - first) * PAGE)
        for page in range(10):
            assert await thread.touch(BASE + page * PAGE) == (not first <= page < last)

    areas, machine = areas_after(body, policy)
    assert areas == left
    assert machine.system.account_pages().mapped == sum(end - start for start, end, _ in left)


def test_munmap_takes_out_several_areas_and_cuts_those_at_its_ends():
    async def body(thread):
        await ten_pages(thread)
        await thread.mprotect(BASE + 4 * PAGE, 2 * PAGE, writable=False)
        await thread.munmap(BASE + 2 * PAGE, 6 * PAGE)

    assert areas_after(body)[0] == [(0, 2, "rw"), (8, 10, "rw")]


@pytest.mark.parametrize("policy", POLICIES)
def test_mprotect_splits_and_merges_back(policy):
    seen = []

    async def body(thread):
        await ten_pages(thread)
        tree = machine_of(thread).tree
        await thread.mprotect(BASE + 3 * PAGE, 4 * PAGE, writable=False)
        seen.append([(vma.start, vma.end, vma.writable) for vma in tree])
        for page in range(10):
            assert await thread.touch(BASE + page * PAGE) == (not 3 <= page < 7)
            assert await thread.touch(BASE + page * PAGE, write=False)
        await thread.mprotect(BASE + 3 * PAGE, 4 * PAGE, writable=True)
        assert await thread.touch(BASE + 5 * PAGE)

    areas, machine = areas_after(body, policy)
    pages = [(BASE + first * PAGE, BASE + last * PAGE, write) for first, last, write in ((0, 3, True), (3, 7, False))]
    assert seen == [[*pages, (BASE + 7 * PAGE, BASE + 10 * PAGE, True)]]
    assert areas == [(0, 10, "rw")]
    assert machine.system.account_pages().mapped == 10


def machine_of(thread):
    return thread.cpu.directory.mm


def test_mprotect_of_a_whole_area_merges_with_a_neighbour_of_the_same_rights():
    async def body(thread):
        await ten_pages(thread)
        await thread.mprotect(BASE, 5 * PAGE, writable=False)
        await thread.mprotect(BASE + 5 * PAGE, 5 * PAGE, writable=False)

    assert areas_after(body)[0] == [(0, 10, "r")]


def test_mprotect_to_nothing_refuses_the_next_fault():
    async def body(thread):
        await thread.mmap(4 * PAGE, address=BASE)
        await thread.mprotect(BASE, 4 * PAGE, readable=False, writable=False)
        assert not await thread.touch(BASE, write=False)
        assert not await thread.touch(BASE)

    assert areas_after(body)[0] == [(0, 4, "-")]


def test_mprotect_and_madvise_of_nothing_change_nothing():
    async def body(thread):
        await ten_pages(thread)
        await thread.mprotect(BASE + 20 * PAGE, PAGE, writable=False)
        await thread.madvise_hugepage(BASE + 20 * PAGE, PAGE)
        await thread.madvise_dontneed(BASE + 20 * PAGE, 4 * PAGE)

    assert areas_after(body)[0] == [(0, 10, "rw")]


@pytest.mark.parametrize("policy", POLICIES)
def test_mmap_extends_its_neighbours(policy):
    async def body(thread):
        await thread.mmap(2 * PAGE, address=BASE)
        await thread.mmap(2 * PAGE, address=BASE + 4 * PAGE)
        await thread.mmap(PAGE, address=BASE + 6 * PAGE)
        await thread.mmap(2 * PAGE, address=BASE + 2 * PAGE)

    assert areas_after(body, policy)[0] == [(0, 7, "rw")]


def test_mmap_does_not_extend_an_area_of_other_rights_or_kind():
    async def body(thread):
        await thread.mmap(PAGE, address=BASE, writable=False)
        await thread.mmap(PAGE, address=BASE + PAGE)
        await thread.mmap(PAGE, address=BASE + 2 * PAGE, kind=VmaKind.FILE)
        await thread.mmap(PAGE, address=BASE + 3 * PAGE, kind=VmaKind.FILE)

    assert areas_after(body)[0] == [(0, 1, "r"), (1, 2, "rw"), (2, 3, "rw"), (3, 4, "rw")]


def test_mmap_extends_downwards_where_only_the_upper_neighbour_fits():
    async def body(thread):
        await thread.mmap(PAGE, address=BASE + PAGE)
        await thread.mmap(PAGE, address=BASE)

    assert areas_after(body)[0] == [(0, 2, "rw")]


@pytest.mark.parametrize(("first", "last"), [(0, 1), (4, 6), (9, 12), (0, 10), (2, 30)])
def test_mmap_at_an_address_replaces_nothing(first, last):
    async def body(thread):
        await ten_pages(thread)
        assert await thread.mmap((last - first) * PAGE, address=BASE + first * PAGE) == -1
        assert await thread.mmap(PAGE, address=BASE + 10 * PAGE) == BASE + 10 * PAGE

    assert areas_after(body)[0] == [(0, 11, "rw")]


def test_lengths_are_rounded_up_to_pages():
    async def body(thread):
        await thread.mmap(PAGE + 1, address=BASE)
        await thread.munmap(BASE + PAGE, 1)

    assert areas_after(body)[0] == [(0, 1, "rw")]


def test_the_mm_places_areas_top_down_and_reuses_the_highest_gap_that_fits():
    async def body(thread):
        high = await thread.mmap(4 * PAGE, writable=False)
        low = await thread.mmap(4 * PAGE)
        assert low == high - 4 * PAGE
        await thread.munmap(high, 2 * PAGE)
        assert await thread.mmap(PAGE, readable=False) == high + PAGE
        assert await thread.mmap(2 * PAGE, readable=False) == low - 2 * PAGE

    machine, _ = played(body)
    assert_settled(machine)


def test_dontneed_keeps_the_areas_and_drops_the_pages():
    async def body(thread):
        await ten_pages(thread)
        await thread.mprotect(BASE + 4 * PAGE, 6 * PAGE, writable=False)
        await thread.madvise_dontneed(BASE + 2 * PAGE, 4 * PAGE)

    areas, machine = areas_after(body)
    assert areas == [(0, 4, "rw"), (4, 10, "r")]
    assert machine.system.account_pages().mapped == 6


def test_areas_that_never_held_a_page_need_no_flush():
    async def body(thread):
        await thread.mmap(4 * PAGE, address=BASE)
        await thread.madvise_dontneed(BASE, 4 * PAGE)
        await thread.munmap(BASE, 4 * PAGE)

    machine, result = played(body, body, cpus=2)
    assert result.ipi.all.count == 0
    assert_settled(machine)


def test_a_page_table_lives_as_long_as_any_area_needs_it():
    counts = []

    async def body(thread):
        await ten_pages(thread)
        system_of = machine_of(thread)
        await thread.munmap(BASE, 9 * PAGE)
        counts.append(system_of.pmds._entries[BASE // (512 * PAGE)].table is not None)
        await thread.munmap(BASE + 9 * PAGE, PAGE)
        counts.append(system_of.pmds._entries[BASE // (512 * PAGE)].table is not None)

    machine, _ = played(body)
    assert counts == [True, False]
    assert [ptl.freed for ptl in machine.system.ptls()] == [True]
    assert_settled(machine)
