"""A loop over pages: one store each, but where a huge page's translation reaches, only time."""

from kactors.workloads.touching import TOUCH_NS, touch_pages
from protocols.scenario import Khugepaged
from protocols.tracepoints import UserStore
from tests.accounting import assert_settled
from tests.actors.scenes import BASE, PAGE, PMD, Heard, played


def touched(size, *, huge):
    """Touch an area, all of it mapped before; return the stores, by page of the area, and the user time."""
    stores = Heard(UserStore)
    user_ns = []

    async def work(thread):
        await thread.mmap(2 * PMD, address=BASE)
        if huge:
            await thread.madvise_hugepage(BASE, PMD)
        await touch_pages(thread, BASE, size)
        began_ns = thread.cpu.clock_ns
        stores.all.clear()
        await touch_pages(thread, BASE, size)
        user_ns.append(thread.cpu.clock_ns - began_ns)

    machine, _ = played(work, observers=[stores], khugepaged=Khugepaged(fault_huge=True))
    assert_settled(machine)
    return [store.vpn - BASE // PAGE for store in stores.of(UserStore)], user_ns[0]


def test_each_small_page_is_stored_to():
    pages, user_ns = touched(600 * PAGE, huge=False)
    assert pages == list(range(600))
    assert user_ns == 600 * TOUCH_NS


def test_a_huge_page_is_stored_to_once_and_takes_as_long():
    pages, user_ns = touched(600 * PAGE, huge=True)
    assert pages == [0, *range(512, 600)]
    assert user_ns == 600 * TOUCH_NS


def test_a_part_of_a_page_is_a_page():
    pages, _ = touched(2 * PAGE + 1, huge=False)
    assert pages == [0, 1, 2]


def test_the_end_lies_within_the_huge_page():
    pages, user_ns = touched(100 * PAGE, huge=True)
    assert pages == [0]
    assert user_ns == 100 * TOUCH_NS
