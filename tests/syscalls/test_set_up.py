"""Pages that a run begins with: there at once, at no cost, and like any others from then on."""

import pytest

from protocols.tracepoints import PageFaultUser, PagesFound
from protocols.vma import MappedFile
from tests.accounting import assert_settled
from tests.actors.scenes import BASE, PAGE, PMD, Heard, played

POLICIES = ["classic", "spf-v9", "per-vma"]


def begun(address, length, *, policy="classic", area=(BASE, 2 * PMD), after=None):
    """One thread maps ``area``, begins with pages at ``address``; return machine, hearing, (done, ns)."""
    heard = Heard(PagesFound, PageFaultUser)
    took = []

    async def work(thread):
        await thread.mmap(area[1], address=area[0])
        began_ns = thread.cpu.clock_ns
        took.append(await thread.begin_with_pages(address, length))
        took.append(thread.cpu.clock_ns - began_ns)
        if after is not None:
            await after(thread)

    machine, _ = played(work, observers=[heard], policy=policy)
    assert_settled(machine)
    return machine, heard, took


def test_no_time_passes_and_each_page_has_a_frame_of_its_own():
    machine, heard, took = begun(BASE, 600 * PAGE)
    assert took == [True, 0]
    assert [(found.first - BASE // PAGE, len(found.pfns)) for found in heard.of(PagesFound)] == [(0, 512), (512, 88)]
    account = machine.system.account_pages()
    assert (account.mapped, account.tables) == (600, 2)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_there_does_not_fault_and_what_is_not_does(policy):
    async def touch(thread):
        for page in range(600, 621):
            await thread.touch(BASE + page * PAGE)

    machine, heard, _ = begun(BASE + 500 * PAGE, 120 * PAGE, policy=policy, after=touch)
    assert [fault.address for fault in heard.of(PageFaultUser)] == [BASE + 620 * PAGE]
    assert machine.system.account_pages().mapped == 121


@pytest.mark.parametrize("policy", POLICIES)
def test_munmap_frees_it_as_any_other(policy):
    async def unmap(thread):
        await thread.munmap(BASE, 2 * PMD)

    machine, _, _ = begun(BASE, 2 * PMD, policy=policy, after=unmap)
    account = machine.system.account_pages()
    assert (account.mapped, account.tables) == (0, 0)


def test_a_table_that_is_there_is_used_and_its_frame_comes_back():
    async def again(thread):
        assert await thread.begin_with_pages(BASE + 100 * PAGE, 50 * PAGE)

    machine, _, _ = begun(BASE, 100 * PAGE, after=again)
    account = machine.system.account_pages()
    assert (account.mapped, account.tables) == (150, 1)


def test_the_area_has_an_anon_vma_as_if_it_had_been_faulted():
    machine, _, _ = begun(BASE, PAGE)
    assert [vma.anon_vma for vma in machine.system.mm.tree] == [True]


def test_nothing_to_begin_with_is_nothing():
    machine, heard, took = begun(BASE, 0)
    assert took == [True, 0]
    assert heard.all == []
    assert machine.system.account_pages().mapped == 0


def test_what_does_not_fit_is_not_begun():
    machine, heard, took = begun(BASE, 64 << 20, area=(BASE, 64 << 20))
    assert took == [False, 0]
    assert heard.of(PagesFound) == []
    assert machine.system.account_pages().mapped == 0


def file_begun(pages, *, mapped=0, after=None):
    """One thread begins with a file whose first ``mapped`` pages are mapped; return machine, hearing, (done, ns)."""
    heard = Heard(PageFaultUser)
    took = []

    async def work(thread):
        file = await thread.open_file()
        await thread.mmap(2 * PMD, address=BASE, file=MappedFile(file=file, offset=0, shared=True))
        began_ns = thread.cpu.clock_ns
        took.append(await thread.begin_with_file(file, pages * PAGE))
        if mapped:
            took.append(await thread.begin_with_mapping(BASE, mapped * PAGE, file))
        took.append(thread.cpu.clock_ns - began_ns)
        if after is not None:
            await after(thread)

    machine, _ = played(work, observers=[heard])
    assert_settled(machine)
    return machine, heard, took


def test_a_file_may_be_there_from_the_beginning_at_no_cost():
    async def touch(thread):
        for page in (0, 599, 600):
            await thread.touch(BASE + page * PAGE)

    machine, heard, took = file_begun(600, after=touch)
    assert took == [True, 0]
    account = machine.system.account_pages()
    assert (account.file_pages, account.mapped, account.free + account.per_cpu) == (601, 0, account.total - 603)
    assert len(heard.all) == 3


def page_of_file(machine, index):
    pages = machine.system.page_cache._pages
    return pages.look_up(pages.file(0), index)


@pytest.mark.parametrize("unmapped", [0, 600])
def test_a_files_first_pages_may_be_mapped_and_dirty_from_the_beginning(unmapped):
    async def go_on(thread):
        for page in (0, 549, 550):
            await thread.touch(BASE + page * PAGE)
        await thread.munmap(BASE, unmapped * PAGE)

    machine, heard, took = file_begun(600, mapped=550, after=go_on)
    assert took == [True, True, 0]
    assert [fault.address for fault in heard.of(PageFaultUser)] == [BASE + 550 * PAGE]
    first, last, beyond = (page_of_file(machine, index) for index in (0, 549, 599))
    assert (first.dirty, last.dirty, beyond.dirty) == (True, True, False)
    assert (last.mapcount, last.references) == ((0, 1) if unmapped else (1, 2))
    assert (beyond.mapcount, beyond.references) == (0, 1)
    assert machine.system.account_pages().file_pages == 600


def test_pages_may_be_mapped_more_than_once_from_the_beginning_and_used_in_between():
    async def once_more(thread):
        await thread.munmap(BASE, PAGE)
        file = MappedFile(file=0, offset=0, shared=True)
        await thread.mmap(2 * PMD, address=BASE + 2 * PMD, file=file)
        assert await thread.begin_with_mapping(BASE + 2 * PMD, 20 * PAGE, 0)

    machine, _, _ = file_begun(600, mapped=550, after=once_more)
    pages = [page_of_file(machine, index) for index in (0, 19, 20, 549, 550)]
    assert [page.mapcount for page in pages] == [1, 2, 1, 1, 0]
    assert [page.references for page in pages] == [2, 3, 2, 2, 1]


def test_a_file_that_does_not_fit_is_not_begun():
    machine, _, took = file_begun((64 << 20) // PAGE)
    assert took == [False, 0]
    assert machine.system.account_pages().file_pages == 0
