"""The zone by itself: watermarks, kswapd, direct reclaim, bulk requests, huge pages, the OOM killer's protocol."""

import pytest

from kactors.allocator import RECLAIM_BATCH, Allocator
from kactors.engine.choices import FirstChoice
from kactors.engine.engine import Engine
from kactors.engine.inline_runtime import run_inline
from kactors.machines import load_machine
from protocols.allocation import (
    DIRECT_RECLAIM,
    OUT_OF_MEMORY,
    PAGES_FREED,
    RECLAIM_NEEDED,
    AllocPages,
    DrainPages,
    FreePages,
    OomHandled,
    PagesAllocated,
    PagesDrained,
    Reclaimed,
    SplitPage,
)
from protocols.scheduling import Sigkill
from protocols.tracepoints import OomKill, VmEvent, Watermark
from tests.actors.scenes import Heard, Probe

PAGES = 256  # 1 MiB
MIN, LOW, HIGH = 32, 40, 48


class Zone:
    """An allocator of 256 pages between probes that stand for CPUs."""

    def __init__(self, *, cpus=1, **costs):
        self.engine = Engine(FirstChoice())
        self.machine = load_machine("small", costs={"memory_mib": 1, **costs})
        self.allocator = Allocator(self.engine, self.machine, lambda: self.cpus)
        self.cpus = [Probe(self.engine, number) for number in range(cpus)]
        self.heard = Heard(Watermark, VmEvent, OomKill)
        self.engine.observe(self.heard)

    def ask(self, *messages, cpu=0):
        """Say each message at the present instant; return what the probe heard since."""
        probe = self.cpus[cpu]
        before = len(probe.heard)
        self.engine.stop = None
        for message in messages:
            probe.say(self.engine.now_ns, self.allocator, message)
        run_inline(self.engine)
        return probe.answers()[before:]

    def take(self, count, *, order=0, memalloc=False):
        (answer,) = self.ask(AllocPages(order=order, count=count, memalloc=memalloc))
        return answer

    def crossings(self):
        return [(mark.name, mark.below) for mark in self.heard.of(Watermark)]

    def counted(self, name):
        return sum(event.count for event in self.heard.of(VmEvent) if event.name == name)


def test_the_watermarks_are_those_of_the_size():
    marks = Zone().allocator.watermarks
    assert (marks.min_pages, marks.low_pages, marks.high_pages) == (MIN, LOW, HIGH)


def test_a_request_is_served_down_to_the_min_watermark():
    zone = Zone()
    taken = zone.take(PAGES)
    assert len(taken.pfns) == PAGES - MIN
    assert len(set(taken.pfns)) == PAGES - MIN
    assert zone.allocator.free_pages == MIN
    assert zone.take(1) is RECLAIM_NEEDED


def test_memalloc_may_have_the_reserve_too():
    zone = Zone()
    zone.take(PAGES)
    assert len(zone.take(1, memalloc=True).pfns) == 1
    assert len(zone.take(PAGES, memalloc=True).pfns) == MIN - 1
    assert zone.take(1, memalloc=True) is RECLAIM_NEEDED
    assert zone.allocator.free_pages == 0


def test_watermarks_are_told_when_they_are_crossed_either_way():
    zone = Zone()
    taken = zone.take(PAGES).pfns
    zone.take(1, memalloc=True)
    zone.ask(FreePages(order=0, pfns=taken))
    assert zone.crossings() == [
        *[("low", True), ("high", True), ("min", True)],
        *[("min", False), ("low", False), ("high", False)],
    ]
    assert zone.counted("pgalloc_normal") == PAGES - MIN + 1
    assert zone.counted("pgfree") == PAGES - MIN


def test_kswapd_starts_below_low_and_stops_at_high():
    zone = Zone(memory_mib=2, page_cache_mib=1)
    marks = zone.allocator.watermarks
    spare = zone.allocator.free_pages - marks.low_pages
    zone.take(spare)
    assert zone.counted("pgsteal_kswapd") == 0
    zone.take(1)
    assert zone.counted("pgsteal_kswapd") == RECLAIM_BATCH
    assert zone.allocator.free_pages >= marks.high_pages
    assert zone.allocator.page_cache_pages == PAGES - RECLAIM_BATCH


def test_kswapd_works_round_by_round_until_the_cache_is_empty():
    zone = Zone(memory_mib=2, page_cache_mib=1)
    for _ in range(20):
        zone.take(31)
    assert zone.counted("pgsteal_kswapd") == PAGES
    assert zone.allocator.page_cache_pages == 0
    assert zone.take(1) is RECLAIM_NEEDED


def test_kswapd_goes_on_until_it_has_reached_high_and_no_further():
    zone = Zone(memory_mib=2, page_cache_mib=1)
    marks = zone.allocator.watermarks
    zone.take(zone.allocator.free_pages - marks.high_pages + 2 * RECLAIM_BATCH, memalloc=True)
    assert zone.counted("pgsteal_kswapd") == 2 * RECLAIM_BATCH
    assert zone.allocator.free_pages == marks.high_pages


def test_kswapd_takes_time():
    zone = Zone(memory_mib=2, page_cache_mib=1)
    began_ns = zone.engine.now_ns
    zone.take(PAGES - 50)
    assert zone.engine.now_ns - began_ns >= RECLAIM_BATCH * zone.machine.reclaim_page_ns


def test_direct_reclaim_frees_32_pages_a_round_for_their_price():
    zone = Zone(page_cache_mib=0, memory_mib=1)
    assert zone.ask(DIRECT_RECLAIM) == [Reclaimed(pages=0)]
    zone = Zone(memory_mib=2, page_cache_mib=1)
    began_ns = zone.engine.now_ns
    assert zone.ask(DIRECT_RECLAIM) == [Reclaimed(pages=RECLAIM_BATCH)]
    assert zone.engine.now_ns - began_ns == RECLAIM_BATCH * zone.machine.reclaim_page_ns
    assert zone.counted("allocstall_normal") == 1
    assert zone.counted("pgsteal_direct") == RECLAIM_BATCH


def test_the_zone_lock_serialises_and_costs_by_the_page():
    zone = Zone(cpus=2, line_cache_ns=0, line_socket_ns=0, atomic_ns=0)
    for cpu in (0, 1):
        zone.cpus[cpu].say(0, zone.allocator, AllocPages(order=0, count=4, memalloc=False))
    run_inline(zone.engine)
    section_ns = zone.machine.zone_lock_ns + 4 * zone.machine.zone_page_ns
    assert [probe.heard[0][0] for probe in zone.cpus] == [section_ns, 2 * section_ns]


def test_huge_blocks_are_aligned_and_need_room_above_min():
    zone = Zone(memory_mib=5)
    first, second = (zone.take(1, order=9).pfns[0] for _ in range(2))
    assert first % 512 == second % 512 == 0
    assert first != second
    assert zone.take(1, order=9) is RECLAIM_NEEDED, "256 pages are left"
    assert zone.ask(FreePages(order=9, pfns=(first, second))) == [PAGES_FREED]
    assert zone.allocator.free_pages == zone.allocator.total_pages == 5 * PAGES


def test_a_split_huge_page_comes_back_page_by_page():
    zone = Zone(memory_mib=5)
    pfn = zone.take(1, order=9).pfns[0]
    zone.ask(SplitPage(pfn=pfn, order=9))
    zone.ask(FreePages(order=0, pfns=tuple(range(pfn, pfn + 512))))
    assert zone.allocator.free_pages == zone.allocator.total_pages
    assert zone.take(1, order=9) == PagesAllocated(pfns=(pfn,))


def test_the_page_cache_is_taken_from_the_zone_at_the_start():
    zone = Zone(memory_mib=2, page_cache_mib=1)
    assert zone.allocator.page_cache_pages == PAGES
    assert zone.allocator.free_pages == PAGES


# --- the OOM killer --------------------------------------------------------------------------------------------------


def exhausted(**options):
    zone = Zone(**options)
    taken = zone.take(PAGES).pfns
    return zone, taken


def test_out_of_memory_drains_every_cpu_first_and_kills_nobody_when_that_helps():
    zone, taken = exhausted(cpus=2)
    assert zone.ask(OUT_OF_MEMORY) == [DrainPages()]
    assert zone.cpus[1].answers() == [DrainPages()]
    zone.ask(PagesDrained(pfns=taken[:3]))
    zone.ask(PagesDrained(pfns=()), cpu=1)
    assert zone.cpus[0].answers()[-1] == OomHandled(killed=False)
    assert zone.heard.of(OomKill) == []
    assert zone.allocator.free_pages == MIN + 3


def test_when_draining_gives_nothing_the_process_is_killed_on_every_cpu():
    zone, _ = exhausted(cpus=2)
    zone.ask(OUT_OF_MEMORY)
    zone.ask(PagesDrained(pfns=()))
    zone.ask(PagesDrained(pfns=()), cpu=1)
    assert set(zone.cpus[0].answers()[-2:]) == {Sigkill(), OomHandled(killed=True)}
    assert zone.cpus[1].answers()[-1] == Sigkill()
    assert [kill.free for kill in zone.heard.of(OomKill)] == [MIN]
    assert zone.counted("oom_kill") == 1


def test_only_one_calls_the_killer_at_a_time_and_only_once():
    zone, _ = exhausted(cpus=2)
    zone.ask(OUT_OF_MEMORY)
    began_ns = zone.engine.now_ns
    assert zone.ask(OUT_OF_MEMORY, cpu=1) == [OomHandled(killed=False)]
    assert zone.engine.now_ns - began_ns == zone.machine.slice_ns
    zone.ask(PagesDrained(pfns=()))
    zone.ask(PagesDrained(pfns=()), cpu=1)
    assert zone.ask(OUT_OF_MEMORY, cpu=1) == [OomHandled(killed=False)]
    assert len(zone.heard.of(OomKill)) == 1


def test_the_wait_for_graph_names_the_cpus_that_have_not_drained():
    zone, _ = exhausted(cpus=2)
    zone.ask(OUT_OF_MEMORY)
    zone.ask(PagesDrained(pfns=()))
    holder = zone.allocator.holder(zone.cpus[0], 1)
    assert (holder.resource, holder.names) == ("drain_all_pages", ("probe1",))
    assert zone.allocator.holder(zone.cpus[1], 1) is None


def test_nobody_waits_for_the_allocator_without_a_drain():
    zone = Zone()
    assert zone.allocator.holder(zone.cpus[0], 1) is None


@pytest.mark.parametrize("count", [1, 5])
def test_fewer_pages_than_asked_are_better_than_none(count):
    zone = Zone()
    zone.take(PAGES - MIN - count)
    assert len(zone.take(31).pfns) == count
