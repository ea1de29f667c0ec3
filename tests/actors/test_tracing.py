"""Tracing costs so much an event, where the events are; without it nothing is charged anywhere."""

import pytest

from protocols.tracepoints import IpiServed, MmapSemWait, SyscallDone
from tests.actors.scenes import PAGE, Heard, played

TRACING_NS = 1_000_000
"""So much that nothing else of a duration is mistaken for it."""


def events(heard, kind, field):
    return [getattr(entry, field) // TRACING_NS for entry in heard.of(kind)]


def run(*bodies, traced=True, tracing_ns=TRACING_NS, **options):
    heard = Heard(SyscallDone, MmapSemWait, IpiServed)
    _, result = played(
        *bodies, observers=[heard], traced=traced, costs={"tracing_ns": tracing_ns}, policy="per-vma", **options
    )
    return heard, result


async def one_page(thread):
    address = await thread.mmap(PAGE)
    await thread.touch(address)
    await thread.munmap(address, PAGE)


def test_calls_pay_for_their_own_events_and_for_those_of_the_lock_the_pages_and_the_flush():
    heard, _ = run(one_page, cpus=1)
    assert [call.name for call in heard.of(SyscallDone)] == ["mmap", "munmap"]
    # mmap: enter, start_locking, acquire_returned, released, exit. munmap: these, the downgrade, one tlb_flush, and two
    # pages that it frees, one of which held the page table.
    assert events(heard, SyscallDone, "duration") == [5, 9]
    # A wait ends before its acquire_returned is written down.
    assert set(events(heard, MmapSemWait, "wait")) == {1}


def test_a_fault_pays_for_its_entry_its_lock_and_its_pages():
    took = []

    async def work(thread):
        address = await thread.mmap(2 * PAGE)
        for page in range(2):
            began_ns = thread.cpu.clock_ns
            await thread.touch(address + page * PAGE)
            took.append((thread.cpu.clock_ns - began_ns) // TRACING_NS)

    run(work, cpus=1)
    # The area's first: page_fault, three of mmap_lock, a page for the page table, a page. Then without the lock.
    assert took == [6, 2]


def test_a_flush_costs_its_sender_and_its_target_their_own_events():
    async def sender(thread):
        address = await thread.mmap(PAGE)
        await thread.touch(address)
        await thread.compute(20 * TRACING_NS)
        await thread.munmap(address, PAGE)

    async def target(thread):
        await thread.compute(200 * TRACING_NS)

    heard, _ = run(sender, target)
    # call_function entry, csd_function_entry, tlb_flush, csd_function_exit; the irq's exit comes after the ack.
    assert events(heard, IpiServed, "duration") == [4]


@pytest.mark.parametrize("costs", [{"traced": False, "tracing_ns": TRACING_NS}, {"traced": True, "tracing_ns": 0}])
def test_without_tracing_or_where_it_is_free_a_run_is_what_it_was(costs):
    _, plain = run(one_page, one_page, traced=False, tracing_ns=0)
    _, other = run(one_page, one_page, **costs)
    assert other.fingerprint == plain.fingerprint
    assert other.virtual_ns == plain.virtual_ns


def test_a_traced_run_takes_longer_by_its_events_alone():
    traced, plain = (run(one_page, cpus=1, traced=traced)[1] for traced in (True, False))
    # 5 of mmap, 6 of the fault, 9 of munmap.
    assert traced.virtual_ns - plain.virtual_ns == 20 * TRACING_NS
