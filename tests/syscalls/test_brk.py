"""brk: the heap grows and shrinks in place, and never over anything."""

import pytest

from kactors.kernel.layout import START_BRK
from protocols.tracepoints import MmapSemHold, PageFaultUser
from tests.accounting import assert_settled
from tests.actors.scenes import PAGE, Heard, played

POLICIES = ["classic", "spf-v9", "per-vma"]


def done(*bodies, policy="classic"):
    heard = Heard(PageFaultUser, MmapSemHold)
    machine, _ = played(*bodies, policy=policy, observers=[heard])
    assert_settled(machine)
    return machine, heard


def areas(machine):
    return [((vma.start - START_BRK) // PAGE, (vma.end - START_BRK) // PAGE) for vma in machine.system.mm.tree]


def test_the_heap_begins_empty_and_brk_of_nothing_tells_where():
    ends = []

    async def work(thread):
        ends.append(await thread.brk(0))

    machine, heard = done(work)
    assert ends == [START_BRK]
    assert areas(machine) == []
    assert len(heard.of(MmapSemHold)) == 1, "even that is a write section"


@pytest.mark.parametrize("policy", POLICIES)
def test_growth_makes_one_area_and_shrinking_frees_its_pages(policy):
    async def work(thread):
        for pages in (2, 5):
            assert await thread.brk(START_BRK + pages * PAGE) == START_BRK + pages * PAGE
        for page in range(5):
            assert await thread.touch(START_BRK + page * PAGE)
        await thread.brk(START_BRK + 3 * PAGE)
        assert not await thread.touch(START_BRK + 3 * PAGE), "SIGSEGV"

    machine, _ = done(work, policy=policy)
    assert areas(machine) == [(0, 3)]
    assert machine.system.account_pages().mapped == 3


def test_an_end_in_the_middle_of_a_page_keeps_the_page():
    async def work(thread):
        assert await thread.brk(START_BRK + PAGE + 1) == START_BRK + PAGE + 1
        await thread.brk(START_BRK + PAGE + 7)
        await thread.brk(START_BRK + 2 * PAGE)

    machine, heard = done(work)
    assert areas(machine) == [(0, 2)]
    assert len(heard.of(MmapSemHold)) == 3


def test_what_lies_in_the_way_stops_it():
    async def work(thread):
        await thread.mmap(PAGE, address=START_BRK + 4 * PAGE, writable=False)
        assert await thread.brk(START_BRK + 5 * PAGE) == START_BRK
        assert await thread.brk(START_BRK + 4 * PAGE) == START_BRK + 4 * PAGE

    machine, _ = done(work)
    assert areas(machine) == [(0, 4), (4, 5)]


def test_an_address_below_the_heap_changes_nothing():
    async def work(thread):
        await thread.brk(START_BRK + PAGE)
        assert await thread.brk(START_BRK - PAGE) == START_BRK + PAGE

    machine, _ = done(work)
    assert areas(machine) == [(0, 1)]


@pytest.mark.parametrize("policy", POLICIES)
def test_threads_that_move_the_same_end_leave_one_area(policy):
    async def work(thread):
        for pages in (3, 1, 4, 2) * 5:
            await thread.brk(START_BRK + pages * PAGE)
            await thread.touch(START_BRK)

    machine, _ = done(work, work, policy=policy)
    assert areas(machine) == [(0, 2)]
