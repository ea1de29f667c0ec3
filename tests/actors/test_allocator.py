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
    MemoryMoves,
    MoveMemory,
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
            probe.say(self.engine.now_ns, self.allocator, message, tag=cpu + 7)
        run_inline(self.engine)
        for _, tag, answer in probe.heard:
            assert tag == (0 if type(answer) in (DrainPages, Sigkill) else cpu + 7)
        return probe.answers()[before:]

    def took(self, message, cpu=0):
        """Say the message; return how long its answer took, in ns."""
        began_ns = self.engine.now_ns
        self.ask(message, cpu=cpu)
        return self.cpus[cpu].heard[-1][0] - began_ns

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


def test_watermarks_tell_their_level_at_the_exact_page():
    zone = Zone()
    zone.take(PAGES - HIGH)
    assert zone.crossings() == []
    zone.take(1)
    assert zone.heard.of(Watermark) == [Watermark(name="high", below=True, free=HIGH - 1)]
    zone.take(HIGH - 1 - LOW)
    assert len(zone.crossings()) == 1
    zone.take(1)
    assert zone.heard.of(Watermark)[1:] == [Watermark(name="low", below=True, free=LOW - 1)]


def test_a_section_under_the_zone_lock_costs_by_the_block_and_an_empty_one_as_one():
    zone = Zone(memory_mib=5)
    machine = zone.machine
    first_ns = zone.took(AllocPages(order=0, count=1, memalloc=False))
    base_ns = machine.atomic_ns + machine.zone_lock_ns
    assert first_ns == machine.transfer_ns(-1, 0) + base_ns + machine.zone_page_ns
    assert zone.took(AllocPages(order=0, count=31, memalloc=False)) == base_ns + 31 * machine.zone_page_ns
    (huge,) = zone.take(1, order=9).pfns
    assert zone.took(FreePages(order=9, pfns=(huge,))) == base_ns + machine.zone_page_ns
    assert zone.counted("pgalloc_normal") == 1 + 31 + 512
    assert zone.counted("pgfree") == 512
    zone.take(5 * PAGES)
    zone.take(5 * PAGES)
    assert zone.took(AllocPages(order=0, count=9, memalloc=False)) == base_ns + machine.zone_page_ns


@pytest.mark.parametrize(("cached_mib", "pages"), [(0, 0), (1, RECLAIM_BATCH)])
def test_direct_reclaim_takes_at_least_one_pages_time_and_frees_what_it_says(cached_mib, pages):
    zone = Zone(memory_mib=2, page_cache_mib=cached_mib)
    free, cached = zone.allocator.free_pages, zone.allocator.page_cache_pages
    assert zone.took(DIRECT_RECLAIM) == max(pages, 1) * zone.machine.reclaim_page_ns
    assert zone.allocator.free_pages == free + pages
    assert zone.allocator.page_cache_pages == cached - pages
    assert zone.counted("pgsteal_direct") == pages
    assert zone.counted("pgsteal_kswapd") == 0


def test_kswapd_is_woken_once_and_works_a_round_later():
    zone = Zone(memory_mib=2, page_cache_mib=1)
    zone.take(zone.allocator.free_pages - zone.allocator.watermarks.low_pages)
    began_ns = zone.engine.now_ns
    zone.ask(*[AllocPages(order=0, count=1, memalloc=False)] * 2)
    stolen = [(at_ns, told) for at_ns, _, told in zone.heard.all if getattr(told, "name", "") == "pgsteal_kswapd"]
    round_ns = RECLAIM_BATCH * zone.machine.reclaim_page_ns
    assert stolen == [(began_ns + round_ns, VmEvent(name="pgsteal_kswapd", count=RECLAIM_BATCH))]


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


def test_the_order_to_drain_is_an_ipi_and_the_answer_comes_with_the_last_list():
    zone, taken = exhausted(cpus=2)
    began_ns = zone.engine.now_ns
    zone.ask(OUT_OF_MEMORY)
    assert [probe.heard[-1][0] for probe in zone.cpus] == [began_ns + zone.machine.ipi_delivery_ns] * 2
    zone.ask(PagesDrained(pfns=taken[:1]))
    assert type(zone.cpus[0].answers()[-1]) is DrainPages
    zone.ask(PagesDrained(pfns=()), cpu=1)
    assert zone.cpus[0].heard[-1] == (zone.engine.now_ns, 7, OomHandled(killed=False)), "one page above min will do"
    zone.ask(PagesDrained(pfns=taken[1:2]), cpu=1)
    assert zone.allocator.free_pages == MIN + 2, "a list that comes late is taken too"


def test_memory_that_ends_a_second_time_is_drained_anew():
    zone, taken = exhausted(cpus=2)
    for pfns in (taken[:1], taken[1:2]):
        zone.ask(OUT_OF_MEMORY)
        zone.ask(PagesDrained(pfns=pfns))
        assert type(zone.cpus[0].answers()[-1]) is DrainPages, "the other CPU's list is still to come"
        zone.ask(PagesDrained(pfns=()), cpu=1)
        assert zone.cpus[0].answers()[-1] == OomHandled(killed=False)


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
    began_ns = zone.engine.now_ns
    zone.ask(OUT_OF_MEMORY)
    zone.ask(PagesDrained(pfns=()))
    holder = zone.allocator.holder(zone.cpus[0], 7)
    assert (holder.resource, holder.names) == ("drain_all_pages", ("probe1",))
    assert (holder.since_ns, holder.why) == (began_ns, "have not drained their per-CPU lists")
    assert zone.allocator.holder(zone.cpus[1], 8) is None
    assert zone.allocator.holder(zone.cpus[0], 8) is None
    zone.ask(PagesDrained(pfns=()), cpu=1)
    assert zone.allocator.holder(zone.cpus[0], 7) is None


def test_nobody_waits_for_the_allocator_without_a_drain():
    zone = Zone()
    assert zone.allocator.name == "allocator"
    assert zone.allocator.holder(zone.cpus[0], 1) is None


@pytest.mark.parametrize("count", [1, 5])
def test_fewer_pages_than_asked_are_better_than_none(count):
    zone = Zone()
    zone.take(PAGES - MIN - count)
    assert len(zone.take(31).pfns) == count


def test_memory_moves_as_fast_as_the_channels_of_its_socket_let_it_and_the_answer_comes_at_once():
    zone = Zone(cpus=2, memory_bandwidth_gbs=4)
    answers = zone.ask(*(MoveMemory(socket=socket, size=4000) for socket in (0, 0, 1)))
    assert answers == [MemoryMoves(takes=1000), MemoryMoves(takes=2000), MemoryMoves(takes=1000)]
    assert zone.took(MoveMemory(socket=1, size=4000)) == 0
