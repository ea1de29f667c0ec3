"""Struct pages: whoever allocates what another CPU has freed, or drops what another has mapped, waits for lines."""

import pytest

from protocols.allocation import AllocPages, FreePages, HandlePages, PagesAllocated
from protocols.tracepoints import SyscallDone
from tests.actors.scenes import BASE, PAGE, PMD, Delivered, Heard, played
from tests.actors.test_allocator import Zone

LINE_NS = 1000
COSTS = {"page_lines": 1, "line_cache_ns": LINE_NS, "line_socket_ns": 0, "line_core_ns": 0}
PAGES = 20


def zone(**costs):
    return Zone(cpus=2, **{"zone_lock_ns": 5, "zone_page_ns": 1, "atomic_ns": 0} | COSTS | costs)


def take(memory, cpu, count=4):
    """Return the frames and how long a CPU takes to get them."""
    began_ns = memory.engine.now_ns
    (answer,) = memory.ask(AllocPages(order=0, count=count, memalloc=False), cpu=cpu)
    assert type(answer) is PagesAllocated
    return answer.pfns, memory.engine.now_ns - began_ns


def test_frames_that_another_cpu_has_freed_hold_the_zones_lock_for_longer():
    memory = zone()
    pfns, fresh_ns = take(memory, cpu=0)
    memory.ask(FreePages(order=0, pfns=pfns), cpu=0)
    again, own_ns = take(memory, cpu=0)
    memory.ask(FreePages(order=0, pfns=again), cpu=0)
    same, others_ns = take(memory, cpu=1)
    assert set(pfns) == set(again) == set(same)
    assert own_ns <= fresh_ns
    assert others_ns == own_ns + LINE_NS + 4 * LINE_NS, "the lock's line, and one for each frame"


def test_each_node_has_a_zone_lock():
    memory = zone(cores_per_cache=1, line_remote_ns=0, page_lines=0)
    request = AllocPages(order=0, count=50, memalloc=False)
    for cpu in range(2):
        memory.cpus[cpu].say(memory.engine.now_ns, memory.allocator, request, tag=cpu + 7)
    memory.ask(cpu=0)
    busy_ns = {number: ns for (name, number), ns in memory.allocator.busy_ns().items() if name == "zone->lock"}
    assert busy_ns == dict.fromkeys(range(2), 55)
    assert memory.engine.now_ns == 55, "none waits for another"


def dropping_ns(toucher, pages=PAGES, **costs):
    """How long MADV_DONTNEED takes on CPU 0 for pages that CPU ``toucher`` has touched."""
    barriers, heard = [], Heard(SyscallDone)

    async def set_up(thread):
        await thread.mmap(PMD, address=BASE)
        barriers.append(thread.barrier(2))

    async def body(thread):
        if thread.cpu.cpu_id == toucher:
            for page in range(pages):
                await thread.touch(BASE + page * PAGE)
        await thread.wait_at(barriers[0])
        if thread.cpu.cpu_id == 0:
            await thread.madvise_dontneed(BASE, PMD)

    handled = Delivered(HandlePages)
    played(body, body, set_up=set_up, observers=[heard, handled], costs={"jitter_percent": 0} | COSTS | costs)
    (took_ns,) = (call.duration for call in heard.of(SyscallDone) if call.name == "madvise")
    return took_ns, [len(message.pfns) for _, _, message in handled.all]


def test_dropping_what_another_cpu_has_touched_takes_a_line_for_each_page():
    own_ns, _ = dropping_ns(toucher=0)
    few_ns, _ = dropping_ns(toucher=1, pages=PAGES // 2)
    others_ns, handled = dropping_ns(toucher=1)
    assert handled == [PAGES]
    assert others_ns - own_ns > PAGES * LINE_NS
    assert others_ns - few_ns == pytest.approx(PAGES // 2 * LINE_NS, rel=0.3)


def test_where_other_costs_have_it_nobody_asks():
    assert dropping_ns(toucher=1, page_lines=0)[1] == []
