"""What tree changes and look-ups cost each other: a line that a CPU has written is fetched by whoever comes next."""

from itertools import pairwise

import pytest

from protocols.mmap_sem import DOWN_READ, DOWN_WRITE, UP_READ, UP_WRITE
from protocols.page_table import ReadPmd
from protocols.tlb import FLUSH_TLB, FLUSH_TLB_AND_TABLES, JOIN_MM, LEAVE_MM
from protocols.vma import (
    CopyVma,
    DetachRegion,
    FindVma,
    GetVma,
    MergeRegion,
    MmapRegion,
    MoveBrk,
    PutVma,
    ReadSequence,
    ReadTreeSeq,
    SetVmaFlags,
    SplitRegion,
    VmaEndRead,
    VmaKind,
    VmaStartRead,
    VmaStartWrite,
    VmLockTrylock,
    VmLockUpRead,
    VmWriteBegin,
    VmWriteEnd,
    WalkVmas,
)
from tests.actors.address_space import AddressSpace
from tests.actors.scenes import BASE, LAZY_TLB, PAGE

COPY_NS = 1
ATOMIC_NS, FETCH_NS = 6, 55
"""The small machine's: a load of a line that this CPU has, an atomic operation on such a line, a transfer."""
FAR = BASE - 100 * PAGE
READ_PMD = ReadPmd(address=BASE)


def area(address, pages=10):
    return MmapRegion(address=address, length=pages * PAGE, readable=True, writable=True, kind=VmaKind.ANON)


EXTEND = area(BASE + 10 * PAGE, 1)
"""Changes the area at BASE."""


class Space(AddressSpace):
    """Two areas, made by CPU 0."""

    def __init__(self, machine="small"):
        super().__init__(machine)
        self.say(area(BASE), area(FAR))
        self.mm.end_write_section()
        self.vma_id = self.mm.tree.find(BASE).vma_id

    def say(self, *messages, cpu=0, tag=1, run=True):
        """Say messages one after the other, when all lines are at rest."""
        del run
        for message in messages:
            self.cpus[cpu].say(self.engine.now_ns + 10_000, self.mm, message, tag)
            self.run()

    def took(self, *messages, cpu=0):
        """Say messages at one instant; return after how many ns the answer to the last one came."""
        said_ns = self.engine.now_ns + 10_000
        for message in messages:
            self.cpus[cpu].say(said_ns, self.mm, message)
        self.run()
        return self.cpus[cpu].heard[-1][0] - said_ns

    def took_with_lock(self, *messages, cpu=0):
        return [self.took(message, cpu=cpu) for message in (DOWN_WRITE, *messages, UP_WRITE)]


# --- look-ups --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look_up", [FindVma, CopyVma, WalkVmas])
@pytest.mark.parametrize(("address", "lines"), [(BASE, 2), (FAR, 1)], ids=["changed", "another"])
def test_a_look_up_fetches_the_tree_and_the_area_that_a_writer_has_changed(look_up, address, lines):
    space, message = Space(), look_up(address=address)
    space.say(message, cpu=1)
    at_rest_ns = space.took(message, cpu=1)
    space.say(EXTEND)
    assert space.took(message, cpu=1) - at_rest_ns == lines * (FETCH_NS - COPY_NS)
    assert space.took(message, cpu=1) == at_rest_ns


def test_a_look_up_under_mm_rb_lock_fetches_that_too():
    space, message = Space(), GetVma(address=BASE)
    space.say(message, cpu=1)
    at_rest_ns = space.took(message, cpu=1)
    space.say(EXTEND)
    assert space.took(message, cpu=1) - at_rest_ns == 2 * FETCH_NS + (FETCH_NS - COPY_NS)


def test_a_hole_costs_the_tree_as_well():
    space, message = Space(), FindVma(address=BASE - PAGE)
    space.say(message, cpu=1)
    at_rest_ns = space.took(message, cpu=1)
    space.say(EXTEND)
    assert space.took(message, cpu=1) - at_rest_ns == FETCH_NS - COPY_NS


def test_a_new_area_lies_in_the_cache_of_the_cpu_that_made_it():
    space, message = Space(), FindVma(address=BASE)
    assert space.took(message) == space.machine.find_vma_ns + 2 * COPY_NS
    assert space.took(message, cpu=1) == space.machine.find_vma_ns + 2 * FETCH_NS


@pytest.mark.parametrize("request_", [SplitRegion, MergeRegion, DetachRegion], ids=lambda message: message.__name__)
def test_who_finds_nothing_to_change_takes_no_line_away(request_):
    space, message = Space(), FindVma(address=BASE)
    start = BASE - 50 * PAGE if request_ is DetachRegion else BASE
    space.say(message, cpu=1)
    at_rest_ns = space.took(message, cpu=1)
    space.say(request_(start=start, end=start + 10 * PAGE))
    assert space.took(message, cpu=1) == at_rest_ns


# --- writers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("look_ups", "lines"),
    [
        pytest.param([FindVma(address=BASE)], 2, id="the tree and the area"),
        pytest.param([FindVma(address=FAR)], 1, id="the tree"),
        pytest.param([GetVma(address=BASE)], 3, id="mm_rb_lock, the tree and the area"),
        pytest.param([FindVma(address=BASE), ReadTreeSeq(begin=True)], 3, id="the tree, the area and mm_seq"),
    ],
)
def test_a_change_takes_the_lines_from_those_who_have_looked(look_ups, lines):
    space = Space()
    space.say(*look_ups, cpu=1)
    space.say(EXTEND)
    alone_ns = space.took(area(BASE + 11 * PAGE, 1))
    space.say(*look_ups, cpu=1)
    assert space.took(area(BASE + 12 * PAGE, 1)) - alone_ns == lines * FETCH_NS


@pytest.mark.parametrize("change", ["cut", "detach", "merge"])
def test_every_kind_of_change_fetches_what_it_changes(change):
    costs = []
    for looks in (False, True):
        space = Space()
        if change == "merge":
            space.say(SplitRegion(start=BASE, end=BASE + PAGE))
        if looks:
            space.say(FindVma(address=BASE), cpu=1)
        request = {
            "cut": SplitRegion(start=BASE, end=BASE + PAGE),
            "detach": DetachRegion(start=BASE, end=BASE + 10 * PAGE),
            "merge": MergeRegion(start=BASE, end=BASE + PAGE),
        }[change]
        costs.append(space.took(request))
    assert costs[1] - costs[0] == 2 * FETCH_NS


def test_a_speculation_that_looks_meanwhile_costs_the_writer_the_end_of_his_section():
    """vm_sequence becomes odd as the change begins and even as it ends: the CPU that read it in between has a copy."""
    costs = []
    for looks in (False, True):
        space = Space()
        space.say(ReadSequence(vma_id=space.vma_id), cpu=1)
        if looks:
            space.cpus[1].say(space.engine.now_ns + 10_200, space.mm, ReadSequence(vma_id=space.vma_id))
        costs.append(space.took(EXTEND))
    assert costs[1] - costs[0] == FETCH_NS


@pytest.mark.parametrize("spins", [GetVma(address=BASE), ReadTreeSeq(begin=True)], ids=["mm_rb_lock", "mm_seq"])
def test_whoever_spins_until_the_tree_is_whole_has_a_copy_of_what_he_spins_on(spins):
    costs = []
    for meets in (False, True):
        space = Space()
        space.say(spins, cpu=1)
        if meets:
            space.cpus[1].say(space.engine.now_ns + 10_200, space.mm, spins)
        costs.append(space.took(EXTEND))
    assert costs[1] - costs[0] == FETCH_NS


@pytest.mark.parametrize("word", ["begin", "end", "flags"])
def test_a_store_to_a_word_of_an_area_is_waited_for_before_the_next_request(word):
    """MADV_DONTNEED, brk and mprotect move vm_sequence, which the speculations of others have read."""

    def store(space):
        flags = {"readable": True, "writable": True, "hugepage": False}
        stores = {"begin": VmWriteBegin, "end": VmWriteEnd, "flags": lambda **of: SetVmaFlags(**of, **flags)}
        return stores[word](vma_id=space.vma_id)

    space = Space()
    space.say(READ_PMD)
    at_rest_ns = space.took(READ_PMD)
    assert space.took(store(space), READ_PMD) == at_rest_ns, "the line is this CPU's own, and the store itself paid for"
    space.say(ReadSequence(vma_id=space.vma_id), cpu=1)
    assert space.took(store(space), READ_PMD) == FETCH_NS
    assert space.took(READ_PMD) == at_rest_ns


def test_the_longest_of_several_stores_is_waited_for():
    space = Space()
    space.say(READ_PMD)
    space.say(ReadSequence(vma_id=space.vma_id), cpu=1)
    own = space.mm.tree.find(FAR).vma_id
    assert space.took(VmWriteBegin(vma_id=space.vma_id), VmWriteBegin(vma_id=own), READ_PMD) == FETCH_NS


def test_one_cpus_stores_keep_no_other_waiting():
    space = Space()
    space.say(READ_PMD, cpu=2)
    at_rest_ns = space.took(READ_PMD, cpu=2)
    space.say(ReadSequence(vma_id=space.vma_id), cpu=1)
    space.cpus[0].say(space.engine.now_ns + 10_000, space.mm, VmWriteBegin(vma_id=space.vma_id))
    assert space.took(READ_PMD, cpu=2) == at_rest_ns


def test_the_heaps_end_is_fetched_from_who_moved_it():
    space = Space()
    start_brk = space.mm.heap._brk
    first, own, other = (
        space.took(MoveBrk(address=start_brk + pages * PAGE), cpu=cpu) for pages, cpu in ((1, 0), (2, 0), (3, 1))
    )
    assert (own, other) == (ATOMIC_NS, ATOMIC_NS + FETCH_NS)
    assert space.took(MoveBrk(address=0), cpu=2) == FETCH_NS, "it is only asked where it is"
    assert first > own


# --- per-VMA locks ---------------------------------------------------------------------------------------------------

FORMS = {"6.4": (VmLockTrylock, VmLockUpRead), "6.15": (VmaStartRead, VmaEndRead)}
WRITE_LOCK = VmaStartWrite(start=BASE, end=BASE + PAGE, wait=True)


def lock_for_read(space, form, cpu=1):
    """Lock the area at BASE for reading and let it go; return what the lock took."""
    lock, unlock = FORMS[form]
    took_ns = space.took(lock(vma_id=space.vma_id), cpu=cpu)
    space.say(unlock(vma_id=space.vma_id), cpu=cpu)
    return took_ns


@pytest.mark.parametrize("form", FORMS)
def test_a_write_lock_fetches_the_lock_and_the_word_that_says_who_owns_the_area(form):
    space = Space()
    lock_for_read(space, form)
    assert space.took(WRITE_LOCK) == (2 * ATOMIC_NS + FETCH_NS) + (ATOMIC_NS + FETCH_NS)
    assert space.took(WRITE_LOCK) == 0, "the area is his until mmap_sem is released"
    space.mm.end_write_section()
    assert space.took(WRITE_LOCK) == 3 * ATOMIC_NS, "nobody has been there meanwhile"


@pytest.mark.parametrize("form", FORMS)
def test_the_next_reader_fetches_both_from_the_writer(form):
    space = Space()
    lock_for_read(space, form)
    at_rest_ns = lock_for_read(space, form)
    space.say(WRITE_LOCK)
    space.mm.end_write_section()
    assert lock_for_read(space, form) - at_rest_ns == FETCH_NS + (FETCH_NS - COPY_NS)


@pytest.mark.parametrize("form", FORMS)
def test_readers_of_one_area_pass_its_lock_on_and_leave_its_words_to_all(form):
    space = Space()
    for cpu in (1, 2):
        lock_for_read(space, form, cpu)
    assert lock_for_read(space, form, 1) == ATOMIC_NS + FETCH_NS + 2 * COPY_NS


@pytest.mark.parametrize("form", FORMS)
def test_a_change_of_the_tree_pays_for_its_write_locks(form):
    """Two areas: one is extended, which is locked; a new one is made, in this CPU's cache."""
    costs = []
    for locks in (False, True):
        space = Space()
        if locks:
            lock_for_read(space, form, cpu=0)
        costs.append([space.took(EXTEND), space.took(area(FAR - 50 * PAGE))])
    assert [later - earlier for earlier, later in zip(*costs, strict=True)] == [3 * ATOMIC_NS] * 2


def test_where_there_are_no_per_vma_locks_nobody_pays_for_one():
    assert Space().took(WRITE_LOCK) == 0


@pytest.mark.parametrize(("form", "written"), [("6.4", [0, 1]), ("6.15", [1, 1])])
def test_the_lock_sequence_moves_as_mmap_lock_is_released_and_is_a_seqcount_in_6_15(form, written):
    """Without readers in between it stays with the writer; a reader takes a copy, which costs the next writer."""
    space = Space()
    space.took_with_lock()
    without = space.took_with_lock()
    lock_for_read(space, form, cpu=0)
    space.took_with_lock()
    with_it = space.took_with_lock()
    assert [later - earlier for earlier, later in zip(without, with_it, strict=True)] == [
        times * ATOMIC_NS for times in written
    ]
    lock_for_read(space, form)
    first = written.index(1)
    assert space.took_with_lock()[first] - with_it[first] == FETCH_NS


@pytest.mark.parametrize("form", FORMS)
def test_a_walk_looks_whether_a_writer_owns_what_it_has_found(form):
    space, walk = Space(), WalkVmas(address=BASE)
    lock_for_read(space, form)
    space.say(walk, cpu=1)
    at_rest_ns = space.took(walk, cpu=1)
    space.took_with_lock()
    assert space.took(walk, cpu=1) - at_rest_ns == FETCH_NS - COPY_NS


@pytest.mark.parametrize("form", FORMS)
def test_a_reader_fetches_the_lock_sequence_after_each_writer(form):
    space = Space()
    for _ in range(2):
        at_rest_ns = lock_for_read(space, form)
    space.took_with_lock()
    assert lock_for_read(space, form) - at_rest_ns == FETCH_NS - COPY_NS
    space.say(DOWN_READ, UP_READ)
    assert lock_for_read(space, form) == at_rest_ns


# --- mm_cpumask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["leave", "skip"])
def test_a_cpu_that_goes_idle_and_comes_back_writes_mm_cpumask_only_where_it_leaves_that(mode):
    space = Space(LAZY_TLB[mode])
    busy_ns = []
    for message in (JOIN_MM, LEAVE_MM, JOIN_MM):
        space.say(message, cpu=1)
        busy_ns.append(space.mm.busy_ns()["mm_cpumask line", 0])
    written = [later > earlier for earlier, later in pairwise(busy_ns)]
    assert written == [mode == "leave"] * 2


def test_where_idle_cpus_are_skipped_a_flush_reads_their_flags_and_they_look_at_what_they_have_missed():
    space = Space(LAZY_TLB["skip"])
    for cpu in (0, 1):
        space.say(JOIN_MM, cpu=cpu)
    space.say(FLUSH_TLB)
    assert space.took(FLUSH_TLB) == ATOMIC_NS + COPY_NS
    assert space.took(FLUSH_TLB_AND_TABLES) == ATOMIC_NS, "page tables go: nobody would be skipped"
    space.say(LEAVE_MM, cpu=1)
    assert space.took(FLUSH_TLB) == ATOMIC_NS + FETCH_NS
    space.say(FLUSH_TLB_AND_TABLES)
    assert space.took(JOIN_MM, cpu=1) == ATOMIC_NS + FETCH_NS, "then it has left for good"


def test_a_cpu_that_was_skipped_writes_its_flag_and_looks_at_tlb_gen():
    space = Space(LAZY_TLB["skip"])
    for cpu in (0, 1):
        space.say(JOIN_MM, cpu=cpu)
    space.say(FLUSH_TLB)
    space.say(LEAVE_MM, cpu=1)
    space.say(FLUSH_TLB)
    assert space.took(JOIN_MM, cpu=1) == (ATOMIC_NS + FETCH_NS) + FETCH_NS


@pytest.mark.parametrize(
    ("take", "put"),
    [
        pytest.param(GetVma(address=BASE), PutVma, id="a reference"),
        pytest.param(VmaStartRead, VmaEndRead, id="a read lock"),
        pytest.param(VmLockTrylock, VmLockUpRead, id="a read lock of 6.4"),
    ],
)
def test_who_puts_what_others_have_taken_meanwhile_waits_for_the_line(take, put):
    space = Space()
    take = take if isinstance(take, GetVma) else take(vma_id=space.vma_id)
    space.say(READ_PMD)
    at_rest_ns = space.took(READ_PMD)
    for others, waits_ns in (([], at_rest_ns), ([1], FETCH_NS)):
        for cpu in (0, *others):
            space.say(take, cpu=cpu)
        assert space.took(put(vma_id=space.vma_id), READ_PMD) == waits_ns
