"""One page table by itself: the lock's queue, what only its owner may do, what happens after its end."""

import pytest

from kactors.engine.choices import FirstChoice
from kactors.engine.engine import Engine
from kactors.engine.errors import IllegalMessage
from kactors.engine.inline_runtime import run_inline
from kactors.kernel.pte import PTE_NONE, ZERO_PFN, mk_pte
from kactors.machines import load_machine
from kactors.observers.properties.lock_exclusion import LockExclusion
from kactors.ptl import EntryLockedPtl, Ptl
from protocols.page_table import (
    FREE_TABLE,
    PTE_LOCK_BUSY,
    SCAN_PTES,
    UNLOCK_PTE,
    FillTable,
    LockPte,
    ProtectPtes,
    Pte,
    PteLocked,
    PtesProtected,
    PtesScanned,
    PtesZapped,
    ReadPte,
    SetPte,
    TableFreed,
    TrylockPte,
    ZapPtes,
)
from protocols.scheduling import TICK
from protocols.tracepoints import (
    LockAcquired,
    LockNeeded,
    LockReleased,
    PageMapped,
    PagesUnmapped,
    PteSet,
    TableDestroyed,
    TableTouched,
)
from tests.actors.scenes import BASE, PAGE, Heard, Probe


class Table:
    """A page table and three probes that use it."""

    def __init__(self, kind=Ptl):
        self.engine = Engine(FirstChoice())
        self.ptl = kind(self.engine, load_machine("small", cpus=3), BASE, 77)
        self.cpus = [Probe(self.engine, number) for number in range(3)]
        self.heard = Heard(PteSet, PageMapped, TableDestroyed, TableTouched)
        self.engine.observe(self.heard)
        self.engine.observe(LockExclusion())

    def say(self, *messages, cpu=0):
        """Say the messages one after the other; return what the probe heard since."""
        probe = self.cpus[cpu]
        before = len(probe.heard)
        for message in messages:
            self.engine.stop = None
            probe.say(self.engine.now_ns, self.ptl, message, tag=cpu + 7)
            run_inline(self.engine)
        assert all(tag == cpu + 7 for _, tag, _ in probe.heard), "an answer carries its request's tag"
        return probe.answers()[before:]

    def took(self, message, cpu=0):
        """Say the message; return how long its answer took, in ns."""
        began_ns = self.engine.now_ns
        self.say(message, cpu=cpu)
        return self.cpus[cpu].heard[-1][0] - began_ns

    def stop(self):
        """Return why the engine stopped last."""
        return self.engine.stop


def test_an_empty_table_has_no_entries():
    table = Table()
    assert table.say(ReadPte(index=3)) == [Pte(value=PTE_NONE)]
    assert table.ptl.mapped() == {}


def test_the_owner_writes_and_everybody_reads():
    table = Table()
    value = mk_pte(5, write=True)
    assert table.say(LockPte(index=3), SetPte(index=3, value=value), UNLOCK_PTE) == [PteLocked(value=PTE_NONE)]
    assert table.say(ReadPte(index=3), cpu=1) == [Pte(value=value)]
    assert table.say(LockPte(index=3), cpu=1) == [PteLocked(value=value)]
    (written,) = table.heard.of(PteSet)
    assert (written.index, written.value, written.pmd_address) == (3, value, BASE)
    (mapped,) = table.heard.of(PageMapped)
    assert (mapped.pfn, mapped.vpn, mapped.order) == (5, BASE // PAGE + 3, 0)


def test_the_zero_page_is_set_but_no_page_is_mapped():
    table = Table()
    table.say(LockPte(index=3), SetPte(index=3, value=mk_pte(ZERO_PFN, write=False)))
    assert len(table.heard.of(PteSet)) == 1
    assert table.heard.of(PageMapped) == []


def test_the_lock_is_given_in_the_order_of_asking():
    table = Table()
    table.say(LockPte(index=0))
    assert table.say(LockPte(index=1), cpu=1) == []
    assert table.say(LockPte(index=2), cpu=2) == []
    table.say(UNLOCK_PTE)
    assert table.cpus[1].answers() == [PteLocked(value=PTE_NONE)]
    assert table.cpus[2].answers() == []
    table.say(UNLOCK_PTE, cpu=1)
    assert table.cpus[2].answers() == [PteLocked(value=PTE_NONE)]


def test_a_waiter_is_given_the_entry_as_the_owner_left_it():
    table = Table()
    table.say(LockPte(index=4))
    table.say(LockPte(index=4), cpu=1)
    table.say(SetPte(index=4, value=mk_pte(9, write=True)), UNLOCK_PTE)
    assert table.cpus[1].answers() == [PteLocked(value=mk_pte(9, write=True))]


def test_a_trylock_never_waits():
    table = Table()
    assert table.say(TrylockPte(index=0)) == [PteLocked(value=PTE_NONE)]
    assert table.say(TrylockPte(index=0), cpu=1) == [PTE_LOCK_BUSY]
    table.say(UNLOCK_PTE)
    assert table.say(TrylockPte(index=0), cpu=1) == [PteLocked(value=PTE_NONE)]


def test_zapping_returns_what_was_mapped_in_order():
    table = Table()
    table.say(LockPte(index=0))
    for index, pfn in ((5, 50), (2, 20), (9, 90)):
        table.say(SetPte(index=index, value=mk_pte(pfn, write=True)))
    table.say(SetPte(index=3, value=mk_pte(ZERO_PFN, write=False)))
    assert table.say(ZapPtes(first=2, last=9)) == [PtesZapped(pfns=(20, ZERO_PFN, 50), written=(20, 50))]
    assert table.ptl.mapped() == {9: mk_pte(90, write=True)}
    assert table.say(ZapPtes(first=0, last=9)) == [PtesZapped(pfns=(), written=())]


def test_protecting_takes_rights_and_gives_none():
    table = Table()
    table.say(LockPte(index=0), SetPte(index=1, value=mk_pte(10, write=True)))
    table.say(SetPte(index=2, value=mk_pte(20, write=False)), SetPte(index=8, value=mk_pte(80, write=True)))
    assert table.say(ProtectPtes(first=0, last=8, writable=False)) == [PtesProtected(changed=1)]
    assert table.say(ProtectPtes(first=0, last=8, writable=True)) == [PtesProtected(changed=0)]
    assert table.ptl.mapped() == {
        1: mk_pte(10, write=False),
        2: mk_pte(20, write=False),
        8: mk_pte(80, write=True),
    }


def test_a_split_huge_page_fills_the_whole_table():
    table = Table()
    table.say(FillTable(pfn=1024, writable=True))
    assert table.ptl.mapped() == {index: mk_pte(1024 + index, write=True) for index in range(512)}
    assert len(table.heard.of(PageMapped)) == 512
    (scanned,) = table.say(SCAN_PTES)
    assert isinstance(scanned, PtesScanned)
    assert [index for index, _ in scanned.entries] == list(range(512))


@pytest.mark.parametrize(
    ("message", "act"),
    [
        (SetPte(index=0, value=5), "writes a PTE"),
        (ZapPtes(first=0, last=1), "zaps PTEs"),
        (ProtectPtes(first=0, last=1, writable=False), "protects PTEs"),
        (UNLOCK_PTE, ""),
    ],
    ids=["set", "zap", "protect", "unlock"],
)
def test_only_the_owner_of_the_lock_may_change_anything(message, act):
    table = Table()
    table.say(LockPte(index=0))
    table.say(message, cpu=1)
    stop = table.stop()
    assert (stop.kind, stop.property) == ("violation", "lock_exclusion")
    assert stop.text.startswith("probe1")
    assert act in stop.text
    assert "probe0 holds it" in stop.text


def test_the_end_of_a_table_tells_what_it_still_maps():
    table = Table()
    table.say(LockPte(index=0), SetPte(index=0, value=mk_pte(5, write=True)), UNLOCK_PTE, FREE_TABLE)
    (destroyed,) = table.heard.of(TableDestroyed)
    assert (destroyed.who, destroyed.pfns) == ("probe0", (5,))


def test_a_freed_table_gives_its_frame_back_and_tells_of_every_later_touch():
    table = Table()
    assert table.say(FREE_TABLE) == [TableFreed(pfn=77)]
    assert table.ptl.freed
    assert table.heard.of(TableTouched) == []
    table.say(ReadPte(index=0), cpu=2)
    (touched,) = table.heard.of(TableTouched)
    assert (touched.toucher, touched.request, touched.table) == ("probe2", "ReadPte", table.ptl.id)


def test_the_wait_for_graph_names_the_owner():
    table = Table()
    table.say(LockPte(index=0))
    table.say(LockPte(index=0), cpu=1)
    holder = table.ptl.holder(table.cpus[1], 8)
    assert (holder.resource, holder.names) == ("PTE lock of ptl@7e0000000000", ("probe0",))
    assert (holder.since_ns, holder.why) == (table.cpus[0].heard[0][0], "has not unlocked it")
    for cpu, tag in ((2, 9), (0, 7), (1, 7)):
        assert table.ptl.holder(table.cpus[cpu], tag) is None


def test_a_message_that_no_table_hears_is_illegal():
    table = Table()
    with pytest.raises(Exception, match="ptl@7e0000000000") as caught:
        table.say(TICK)
    assert isinstance(caught.value.__cause__, IllegalMessage)


# --- what is told -----------------------------------------------------------------------------------------------------


def test_what_is_unmapped_is_told_without_the_zero_page_and_only_if_it_goes():
    table = Table()
    gone = Heard(PagesUnmapped)
    table.engine.observe(gone)
    table.say(LockPte(index=0), SetPte(index=4, value=mk_pte(5, write=False)))
    table.say(SetPte(index=4, value=mk_pte(5, write=True)))
    assert gone.of(PagesUnmapped) == [], "the same frame stays mapped"
    table.say(SetPte(index=4, value=mk_pte(6, write=True)), SetPte(index=4, value=PTE_NONE))
    table.say(SetPte(index=4, value=mk_pte(ZERO_PFN, write=False)), SetPte(index=4, value=PTE_NONE))
    table.say(SetPte(index=1, value=mk_pte(7, write=True)), SetPte(index=2, value=mk_pte(ZERO_PFN, write=False)))
    table.say(SetPte(index=3, value=mk_pte(8, write=True)), ZapPtes(first=0, last=9), ZapPtes(first=0, last=9))
    assert [told.pfns for told in gone.of(PagesUnmapped)] == [(5,), (6,), (7, 8)]
    first = BASE // PAGE
    assert [told.vpns for told in gone.of(PagesUnmapped)] == [(first + 4,), (first + 4,), (first + 1, first + 3)]
    assert {told.order for told in gone.of(PagesUnmapped)} == {0}


@pytest.mark.parametrize("write", [False, True])
def test_frame_0_is_a_frame_too(write):
    table, gone = Table(), Heard(PagesUnmapped)
    table.engine.observe(gone)
    table.say(LockPte(index=4), SetPte(index=4, value=mk_pte(0, write=write)), SetPte(index=4, value=PTE_NONE))
    assert [told.pfns for told in gone.of(PagesUnmapped)] == [(0,)]


def test_a_cleared_entry_is_gone_and_no_entry_is_told():
    table = Table()
    table.say(LockPte(index=0), SetPte(index=0, value=PTE_NONE))
    assert table.heard.of(PteSet) == []
    table.say(SetPte(index=0, value=mk_pte(5, write=True)), SetPte(index=0, value=PTE_NONE))
    assert table.ptl.mapped() == {}
    assert [(told.table, told.vpn) for told in table.heard.of(PteSet)] == [(table.ptl.id, BASE // PAGE)]


def test_what_needs_the_lock_is_told_with_the_act():
    table = Table()
    needed = Heard(LockNeeded)
    table.engine.observe(needed)
    table.say(LockPte(index=0), SetPte(index=0, value=mk_pte(5, write=True)))
    table.say(ProtectPtes(first=0, last=1, writable=False), ZapPtes(first=0, last=1))
    assert [told.act for told in needed.of(LockNeeded)] == ["writes a PTE", "protects PTEs", "zaps PTEs"]
    assert {(told.lock, told.place, told.owner, told.tag, told.write) for told in needed.of(LockNeeded)} == {
        ("pte_lock", table.ptl.id, "probe0", 7, True)
    }


def test_the_lock_is_told_with_its_place_and_its_owner():
    table = Table()
    locks = Heard(LockAcquired, LockReleased)
    table.engine.observe(locks)
    table.say(LockPte(index=0), UNLOCK_PTE)
    table.say(TrylockPte(index=0), cpu=1)
    assert [
        (type(told), told.lock, told.place, told.owner, told.tag) for told in (entry[2] for entry in locks.all)
    ] == [
        (LockAcquired, "pte_lock", table.ptl.id, "probe0", 7),
        (LockReleased, "pte_lock", table.ptl.id, "probe0", 7),
        (LockAcquired, "pte_lock", table.ptl.id, "probe1", 8),
    ]


def test_a_split_huge_page_is_told_page_by_page_and_may_be_read_only():
    table = Table()
    table.say(FillTable(pfn=1024, writable=False))
    assert set(table.ptl.mapped().values()) == {mk_pte(1024 + index, write=False) for index in range(512)}
    assert [(told.pfn, told.vpn, told.order) for told in table.heard.of(PageMapped)] == [
        (1024 + index, BASE // PAGE + index, 0) for index in range(512)
    ]


def test_the_end_of_a_table_names_its_frame_and_leaves_the_zero_page_out():
    table = Table()
    table.say(LockPte(index=0), SetPte(index=8, value=mk_pte(5, write=True)))
    table.say(SetPte(index=2, value=mk_pte(9, write=True)), SetPte(index=4, value=mk_pte(ZERO_PFN, write=False)))
    assert table.say(UNLOCK_PTE, FREE_TABLE) == [TableFreed(pfn=77)]
    (destroyed,) = table.heard.of(TableDestroyed)
    assert (destroyed.table, destroyed.pfn, destroyed.pfns) == (table.ptl.id, 77, (9, 5))


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_eight_entries_share_a_cache_line():
    table = Table()
    machine = load_machine("small", cpus=3)
    first_ns = table.took(ReadPte(index=0))
    assert first_ns == machine.transfer_ns(-1, 0) > 1
    assert [table.took(ReadPte(index=index)) for index in (0, 1, 7)] == [1, 1, 1]
    assert table.took(ReadPte(index=8)) == first_ns
    assert table.took(ReadPte(index=15)) == 1


def test_a_write_takes_the_line_from_those_who_read_it():
    table = Table()
    table.took(ReadPte(index=0), cpu=1)
    table.say(LockPte(index=0), SetPte(index=3, value=mk_pte(5, write=True)))
    assert table.took(ReadPte(index=9), cpu=1) > 1
    assert table.took(ReadPte(index=1), cpu=1) > 1
    assert table.took(ReadPte(index=1), cpu=1) == 1
    table.say(ZapPtes(first=0, last=8))
    assert table.took(ReadPte(index=2), cpu=1) > 1


def test_the_lock_is_a_cache_line_of_its_own():
    table = Table()
    machine = load_machine("small", cpus=3)
    assert table.took(LockPte(index=0)) == machine.transfer_ns(-1, 0) + machine.atomic_ns
    table.say(UNLOCK_PTE)
    assert table.took(TrylockPte(index=0)) == machine.atomic_ns, "it is still there"
    assert table.took(TrylockPte(index=0), cpu=1) == machine.transfer_ns(0, 1)
    table.say(UNLOCK_PTE)
    assert table.took(LockPte(index=0), cpu=2) == machine.transfer_ns(0, 2) + machine.atomic_ns


@pytest.mark.parametrize("pages", [0, 1, 5, 20])
def test_what_goes_through_the_entries_costs_by_the_entry(pages):
    table = Table()
    table.say(LockPte(index=0), *(SetPte(index=index, value=mk_pte(5 + index, write=True)) for index in range(pages)))
    zap_ns = load_machine("small", cpus=3).zap_pte_ns
    atomic_ns = load_machine("small", cpus=3).atomic_ns
    assert table.took(SCAN_PTES) == pages * zap_ns
    assert table.took(ProtectPtes(first=0, last=pages, writable=False)) == pages * zap_ns
    assert table.took(ProtectPtes(first=0, last=pages, writable=False)) == 0
    assert table.took(ZapPtes(first=0, last=pages)) == max(pages * zap_ns, atomic_ns if pages else 0)
    assert table.took(FREE_TABLE) == 0


# --- a lock an entry -------------------------------------------------------------------------------------------------


def test_entries_with_locks_of_their_own_are_no_obstacle_to_each_other():
    table = Table(EntryLockedPtl)
    value = mk_pte(5, write=True)
    assert table.say(LockPte(index=3)) == [PteLocked(value=PTE_NONE)]
    assert table.say(TrylockPte(index=4), cpu=1) == [PteLocked(value=PTE_NONE)]
    assert table.say(LockPte(index=5), SetPte(index=5, value=value), UNLOCK_PTE, cpu=2) == [PteLocked(value=PTE_NONE)]
    assert table.ptl.mapped() == {5: value}
    assert table.stop().kind == "quiescent", "each owner has another lock"


def test_one_entrys_lock_is_a_lock():
    table = Table(EntryLockedPtl)
    table.say(LockPte(index=3))
    assert table.say(TrylockPte(index=3), cpu=1) == [PTE_LOCK_BUSY]
    assert table.say(LockPte(index=3), cpu=1) == []
    assert table.say(LockPte(index=3), cpu=2) == []
    waits = table.ptl.holder(table.cpus[2], 9)
    assert "entry 3" in waits.resource
    assert table.ptl.holder(table.cpus[0], 7) is None
    table.say(SetPte(index=3, value=mk_pte(9, write=True)), UNLOCK_PTE)
    assert table.cpus[1].answers()[-1] == PteLocked(value=mk_pte(9, write=True))
    assert len(table.cpus[2].answers()) == 0
    table.say(UNLOCK_PTE, cpu=1)
    assert table.cpus[2].answers() == [PteLocked(value=mk_pte(9, write=True))]


def test_who_owns_no_entrys_lock_releases_none():
    table = Table(EntryLockedPtl)
    table.say(LockPte(index=3))
    table.say(UNLOCK_PTE, cpu=1)
    assert table.say(TrylockPte(index=3), cpu=2) == [PTE_LOCK_BUSY]
