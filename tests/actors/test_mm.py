"""The mm by itself: pmd_lock and its queue, who waits for what, look-ups during a change, the bound on speculation."""

import pytest

from protocols.mmap_sem import DOWN_READ, DOWN_WRITE, UP_READ, UP_WRITE, MmapSemAcquired, StopSpinning
from protocols.page_table import (
    PMD_NONE,
    InstallTable,
    Pmd,
    PmdLock,
    PmdState,
    PmdUnlock,
    ReadPmd,
    SplitHuge,
    TableInstalled,
)
from protocols.scheduling import GRANTED, MUST_SLEEP, RETRY
from protocols.stop import BoundExceeded
from protocols.tracepoints import LockNeeded
from protocols.vma import (
    NO_VMA,
    VMA_WRITE_LOCKED,
    DetachRegion,
    FindVma,
    GetVma,
    MmapRegion,
    PutVma,
    ReadVma,
    RegionMapped,
    SpfAdmitted,
    SpfEnter,
    SpfExit,
    SplitRegion,
    VmaEndRead,
    VmaKind,
    VmaRead,
    VmaReadLocked,
    VmaStartRead,
    VmaStartWrite,
    VmaWalked,
    WalkVmas,
)
from tests.actors.address_space import AddressSpace
from tests.actors.scenes import BASE, PAGE, PMD, Heard

MAP = MmapRegion(address=BASE, length=10 * PAGE, readable=True, writable=True, kind=VmaKind.ANON)


def with_area():
    space = AddressSpace()
    assert space.say(MAP) == [RegionMapped(address=BASE, merged=False)]
    space.mm.end_write_section()  # as the mmap's up_write does
    return space


def test_it_is_called_mm_and_its_first_lock_sequence_is_no_fresh_vmas():
    space = with_area()
    assert space.mm.name == "mm"
    assert space.mm.tree.find(BASE) is space.mm.vmas.tree.find(BASE)
    (walked,) = space.say(WalkVmas(address=BASE))
    assert not walked.writer, "a VMA that nobody has write-locked is not locked"


def test_the_end_of_a_write_section_ends_every_per_vma_write_lock_and_no_later_one():
    space = with_area()
    for _ in range(2):
        space.say(WRITE_LOCK)
        assert space.say(WalkVmas(address=BASE))[0].writer
        space.mm.end_write_section()
        assert not space.say(WalkVmas(address=BASE))[0].writer


def test_what_needs_mmap_sem_is_told_with_the_act_and_the_kind_of_lock():
    space = AddressSpace()
    heard = Heard(LockNeeded)
    space.engine.observe(heard)
    for write in (False, True):
        space.mm.must_hold_mmap_sem(space.cpus[2], 5, "does what a test does", write=write)
    assert [(told.lock, told.owner, told.tag, told.act, told.write) for told in heard.of(LockNeeded)] == [
        ("mmap_sem", "probe2", 5, "does what a test does", write) for write in (False, True)
    ]


# --- PMD entries -----------------------------------------------------------------------------------------------------


def test_the_first_table_is_installed_and_the_second_one_is_given_back():
    space = AddressSpace()
    assert space.say(ReadPmd(address=BASE)) == [PMD_NONE]
    (first,) = space.say(InstallTable(address=BASE, pfn=7))
    assert first.used
    assert space.say(InstallTable(address=BASE + PAGE, pfn=8), cpu=1) == [TableInstalled(table=first.table, used=False)]
    assert space.say(ReadPmd(address=BASE)) == [Pmd(state=PmdState.TABLE, table=first.table, pfn=-1)]
    assert space.engine.actors[first.table].pfn == 7


def test_whoever_waits_for_pmd_lock_is_served_when_it_is_free():
    """Two tables to install and a locker behind them: none of the three may be forgotten."""
    space = AddressSpace()
    space.say(PmdLock(address=BASE))
    assert space.say(InstallTable(address=BASE, pfn=7), cpu=1) == []
    assert space.say(InstallTable(address=BASE, pfn=8), cpu=2) == []
    assert space.say(PmdLock(address=BASE), cpu=3) == []
    space.say(PmdUnlock(address=BASE))
    assert [type(answer) for answer in space.cpus[1].answers()] == [TableInstalled]
    assert [answer.used for answer in space.cpus[2].answers()] == [False]
    assert [answer.state for answer in space.cpus[3].answers()] == [PmdState.TABLE]


def test_pmd_lock_is_one_a_pmd():
    space = AddressSpace()
    space.say(PmdLock(address=BASE))
    assert space.say(PmdLock(address=BASE + PMD), cpu=1) == [PMD_NONE]
    assert space.say(PmdLock(address=BASE + PMD - PAGE), cpu=2) == []
    holder = space.holder(2)
    assert (holder.resource, holder.names) == (f"pmd_lock of {BASE:#x}", ("probe0",))
    assert space.holder(1) is None


def test_splitting_what_is_not_huge_changes_nothing():
    space = AddressSpace()
    assert space.say(PmdLock(address=BASE), SplitHuge(address=BASE))[1] == PMD_NONE


# --- mmap_sem --------------------------------------------------------------------------------------------------------


def test_the_wait_for_graph_names_the_owners_of_mmap_sem():
    space = AddressSpace()
    space.say(DOWN_READ)
    space.say(DOWN_READ, cpu=1)
    assert space.say(DOWN_WRITE, cpu=2) == [MUST_SLEEP]
    holder = space.holder(2)
    assert (holder.resource, holder.names) == ("mmap_sem (held for read)", ("probe0", "probe1"))
    assert space.holder(0) is None


def test_a_released_lock_that_nobody_has_taken_yet_is_the_mms():
    space = AddressSpace()
    space.say(DOWN_READ)
    space.say(DOWN_WRITE, cpu=1)
    space.say(UP_READ)
    assert space.cpus[1].answers() == [MUST_SLEEP, RETRY]
    assert space.holder(1).names == ("mm",)


def test_to_stop_spinning_when_one_does_not_is_no_answer_worth():
    space = AddressSpace()
    assert space.say(DOWN_WRITE, StopSpinning()) == [MmapSemAcquired()]


# --- areas -----------------------------------------------------------------------------------------------------------


def test_a_look_up_during_a_tree_change_waits_for_its_end():
    """mm_rb_lock: SPF's get_vma takes it for reading, the change holds it for writing."""
    space = AddressSpace()
    space.say(MAP, run=False)
    space.cpus[1].say(5, space.mm, GetVma(address=BASE), 2)
    space.engine.limits = type(space.engine.limits)(events=2)
    space.run()
    assert "mm_rb_lock" in space.holder(1).resource
    space.engine.limits = type(space.engine.limits)()
    space.run()
    (found,) = space.cpus[1].answers()
    assert (found.vma.start, found.vma.end, found.vma.sequence) == (BASE, BASE + 10 * PAGE, 0)
    assert space.cpus[1].heard[0][0] > space.cpus[0].heard[0][0]


def test_each_speculation_holds_a_reference_until_it_puts_it():
    space = with_area()
    (first,) = space.say(GetVma(address=BASE))
    space.say(GetVma(address=BASE + PAGE), cpu=1)
    vma = space.mm.tree.find(BASE)
    assert vma.references == 3
    space.say(PutVma(vma_id=first.vma.vma_id))
    space.say(PutVma(vma_id=first.vma.vma_id), cpu=1)
    assert vma.references == 1


def test_an_area_that_was_kept_by_a_reference_tells_that_it_left_the_tree():
    space = with_area()
    (found,) = space.say(GetVma(address=BASE))
    read = ReadVma(vma_id=found.vma.vma_id)
    assert space.say(read, cpu=1) == [VmaRead(vma=found.vma, attached=True)]
    space.say(DetachRegion(start=BASE, end=BASE + 10 * PAGE))
    (gone,) = space.say(read, cpu=1)
    assert (gone.attached, gone.vma.start) == (False, BASE)


def test_nothing_is_found_where_nothing_is_mapped():
    space = with_area()
    for look_up in (FindVma, GetVma):
        assert space.say(look_up(address=BASE - PAGE)) == [NO_VMA]


def test_the_wait_for_graph_names_a_vmas_readers():
    space = with_area()
    (locked,) = read_locked(space)
    assert space.say(WRITE_LOCK, cpu=1) == [MUST_SLEEP]
    assert space.holder(1).names == ("its readers",)
    (refused,) = space.say(VmaStartRead(vma_id=locked.vma.vma_id), cpu=2)
    assert (refused.vma, refused.writer) == (None, True)
    space.say(VmaEndRead(vma_id=locked.vma.vma_id))
    assert space.holder(1) is None


# --- per-VMA locks, step by step -------------------------------------------------------------------------------------

WRITE_LOCK = VmaStartWrite(start=BASE, end=BASE + PAGE, wait=True)


def read_locked(space, cpu=0):
    (walked,) = space.say(WalkVmas(address=BASE), cpu=cpu)
    return space.say(VmaStartRead(vma_id=walked.vma.vma_id), cpu=cpu)


def test_a_walk_finds_the_area_and_its_writer_or_nothing():
    space = with_area()
    assert space.say(WalkVmas(address=BASE - PAGE)) == [VmaWalked(vma=None, writer=False)]
    (free,) = space.say(WalkVmas(address=BASE))
    space.say(WRITE_LOCK)
    (owned,) = space.say(WalkVmas(address=BASE))
    assert (free.writer, owned.writer) == (False, True)
    assert free.vma == owned.vma


def test_a_reader_that_comes_after_the_writer_has_drained_sees_it_when_it_looks_again():
    space = with_area()
    (walked,) = space.say(WalkVmas(address=BASE), cpu=1)
    space.say(WRITE_LOCK)
    (locked,) = space.say(VmaStartRead(vma_id=walked.vma.vma_id), cpu=1)
    assert (walked.writer, locked.vma is not None, locked.writer) == (False, True, True)
    assert space.say(WRITE_LOCK) == [VMA_WRITE_LOCKED], "it is the writer's already: who is inside is about to leave"


def test_a_reader_that_comes_too_late_to_one_area_does_not_keep_the_writer_of_two():
    space = with_area()
    space.say(DOWN_WRITE, SplitRegion(start=BASE, end=BASE + PAGE), UP_WRITE)
    (late,) = space.say(WalkVmas(address=BASE + PAGE), cpu=2)
    (locked,) = read_locked(space, cpu=1)
    assert space.say(VmaStartWrite(start=BASE, end=BASE + 10 * PAGE, wait=True)) == [MUST_SLEEP]
    (transient,) = space.say(VmaStartRead(vma_id=late.vma.vma_id), cpu=2)
    assert transient.writer
    before = len(space.cpus[0].heard)
    space.say(VmaEndRead(vma_id=locked.vma.vma_id), cpu=1)
    assert space.cpus[0].answers()[before:] == [GRANTED]
    assert space.holder(0) is None


def test_a_writer_that_does_not_wait_shares_the_area_with_its_readers():
    space = with_area()
    read_locked(space, cpu=1)
    assert space.say(VmaStartWrite(start=BASE, end=BASE + PAGE, wait=False)) == [VMA_WRITE_LOCKED]


def test_between_walk_and_lock_the_area_may_leave_the_tree_and_be_freed():
    space = with_area()
    (walked,) = space.say(WalkVmas(address=BASE), cpu=1)
    start_read = VmaStartRead(vma_id=walked.vma.vma_id)
    space.say(DetachRegion(start=BASE, end=BASE + 10 * PAGE))
    assert space.say(start_read, cpu=1) == [VmaReadLocked(vma=None, writer=False)]
    space.say(PutVma(vma_id=walked.vma.vma_id))
    assert space.say(start_read, cpu=1) == [VmaReadLocked(vma=None, writer=False)]


def test_a_reader_keeps_a_detached_area_until_it_has_looked_and_left():
    space = with_area()
    (walked,) = space.say(WalkVmas(address=BASE), cpu=1)
    space.say(DetachRegion(start=BASE, end=BASE + 10 * PAGE), run=False)
    space.cpus[1].say(space.engine.now_ns + 1, space.mm, VmaStartRead(vma_id=walked.vma.vma_id))
    space.run()
    vma_id = walked.vma.vma_id
    space.say(PutVma(vma_id=vma_id))
    assert vma_id in space.mm.vmas._by_id
    space.say(VmaEndRead(vma_id=vma_id), cpu=1)
    assert vma_id not in space.mm.vmas._by_id


def test_mmap_fails_where_no_gap_is_left():
    region = MmapRegion(address=-1, length=1 << 50, readable=True, writable=True, kind=VmaKind.ANON)
    assert AddressSpace().say(region) == [RegionMapped(address=-1, merged=False)]


# --- the bound on speculation ----------------------------------------------------------------------------------------

ADMITTED, REFUSED = SpfAdmitted(admitted=True), SpfAdmitted(admitted=False)


@pytest.mark.parametrize(("scope", "answer"), [("mm", []), ("address", [ADMITTED])])
def test_the_bound_is_one_for_the_mm_or_one_a_page(scope, answer):
    space = AddressSpace(spf_inflight_max=1, spf_inflight_scope=scope, on_limit="wait")
    assert space.say(SpfEnter(address=BASE)) == [ADMITTED]
    assert space.say(SpfEnter(address=BASE + 100), cpu=1) == [MUST_SLEEP]
    assert space.say(SpfEnter(address=BASE + PAGE), cpu=2) == (answer or [MUST_SLEEP])


def test_the_end_of_a_speculation_wakes_one_that_waits():
    space = AddressSpace(spf_inflight_max=1, on_limit="wait")
    space.say(SpfEnter(address=BASE))
    for cpu in (1, 2):
        space.say(SpfEnter(address=BASE), cpu=cpu)
    assert space.holder(1).resource == "bounds.spf_inflight_max"
    assert space.holder(3) is None
    space.say(SpfExit(address=BASE))
    assert space.cpus[1].answers() == [MUST_SLEEP, RETRY]
    assert space.cpus[2].answers() == [MUST_SLEEP]
    assert space.say(SpfEnter(address=BASE), cpu=1) == [ADMITTED]


def test_at_the_limit_the_classic_path_is_the_other_answer():
    space = AddressSpace(spf_inflight_max=1, on_limit="classic")
    assert space.say(SpfEnter(address=BASE)) == [ADMITTED]
    assert space.say(SpfEnter(address=BASE), cpu=1) == [REFUSED]
    space.say(SpfExit(address=BASE))
    assert space.say(SpfEnter(address=BASE), cpu=1) == [ADMITTED]


def test_at_the_limit_the_run_may_stop():
    space = AddressSpace(spf_inflight_max=2, on_limit="stop")
    for cpu in range(3):
        space.say(SpfEnter(address=BASE), cpu=cpu)
    stop = space.engine.stop
    assert isinstance(stop, BoundExceeded)
    assert (stop.bound, stop.limit, stop.value) == ("bounds.spf_inflight_max", 2, 3)
