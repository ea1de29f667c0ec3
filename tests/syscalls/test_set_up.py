"""Pages that a run begins with: there at once, at no cost, and like any others from then on."""

import pytest

from protocols.tracepoints import PageFaultUser, PagesFound
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
