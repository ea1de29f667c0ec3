"""The page cache by itself: holes, page locks, counts of entries and references, dirty pages, and what each costs."""

from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st

from kactors.engine.errors import ActorCrash
from kactors.engine.inline_runtime import run_inline
from kactors.engine.waits import Holder
from kactors.kernel.cached_pages import BEFORE_PFN
from kactors.observers.properties.lock_exclusion import LockExclusion
from kactors.page_cache import PageCache
from protocols.page_cache import (
    AddToPageCache,
    FileOpened,
    FilePages,
    Filesystem,
    FindLockPage,
    GetPage,
    MapPages,
    OpenFile,
    PageAddFileRmap,
    PageFound,
    PageGot,
    PageMkwrite,
    PageRemoveRmap,
    PagesToMap,
    PageUnlocked,
    PutPage,
    SetPageDirty,
    UnlockPage,
)
from protocols.scheduling import MUST_SLEEP, RETRY
from protocols.set_up import MappingSetUp, SetUpFile, SetUpMapping
from protocols.tracepoints import LockNeeded, MmFilemapAddToPageCache, VmEvent
from tests.actors.scenes import Alone, Heard

HOLE = PageFound(pfn=-1, mkwrite=False)


class Cache(Alone):
    """A page cache with one file, number 0, and three probes that use it."""

    def __init__(self, filesystem=Filesystem.TMPFS, *, cached=False, **costs):
        super().__init__(PageCache, **costs)
        self.heard = Heard(MmFilemapAddToPageCache, VmEvent)
        self.engine.observe(self.heard)
        self.engine.observe(LockExclusion())
        self.say(OpenFile(filesystem=filesystem, cached=cached))

    def fill(self, *pages, cpu=0):
        """Put frame 100 + index into holes, and unlock them."""
        for index in pages:
            self.say(
                AddToPageCache(file=0, index=index, pfn=100 + index), UnlockPage(pfn=100 + index, put=True), cpu=cpu
            )

    def page(self, pfn):
        return self.actor._pages.of_frame(pfn)

    def stop(self):
        return self.engine.stop


def find(index=0, file=0):
    return FindLockPage(file=file, index=index)


def test_each_file_has_its_own_number():
    cache = Cache()
    assert cache.say(OpenFile(filesystem=Filesystem.EXT4, cached=False)) == [FileOpened(file=1)]
    cache.fill(3)
    assert cache.say(find(3, file=1)) == [PageFound(pfn=-1, mkwrite=True)], "what is in one file is not in another"


def test_a_hole_is_filled_once_and_comes_out_locked():
    cache = Cache()
    assert cache.say(find(3)) == [HOLE]
    assert cache.say(AddToPageCache(file=0, index=3, pfn=30)) == [PageFound(pfn=30, mkwrite=False)]
    assert cache.say(AddToPageCache(file=0, index=3, pfn=31), cpu=1) == [HOLE], "EEXIST"
    assert cache.page(31) is None
    assert cache.say(find(3), cpu=1) == [MUST_SLEEP]
    assert cache.heard.of(MmFilemapAddToPageCache) == [MmFilemapAddToPageCache(pfn=30, file=0, index=3)]
    assert cache.actor.frames() == {30}
    assert cache.heard.of(VmEvent) == [VmEvent(name="nr_file_pages", count=1)]
    assert cache.actor.holder(cache.cpus[1], 8).since_ns == cache.cpus[0].heard[-1][0]


def test_a_page_from_before_the_run_is_there_at_once_in_a_frame_outside_the_zone():
    cache = Cache(cached=True)
    (found,) = cache.say(find(3))
    assert found.pfn > BEFORE_PFN
    cache.say(UnlockPage(pfn=found.pfn, put=True))
    assert cache.say(find(3), cpu=1) == [found], "and stays in it"
    assert cache.actor.frames() == set()


def test_who_finds_a_page_locked_sleeps_and_asks_again_in_the_order_of_coming():
    cache = Cache(wake_ns=1000)
    cache.fill(0)
    cache.say(find())
    locked_ns = cache.cpus[0].heard[-1][0]
    for cpu in (2, 1):
        assert cache.say(find(), cpu=cpu) == [MUST_SLEEP]
    cache.cpus[0].node = lambda tag: f"thread {tag} of cpu0"
    held = Holder("page lock of frame 100", ("thread 7 of cpu0",), locked_ns, "has not unlocked it")
    assert cache.actor.holder(cache.cpus[1], 8) == held
    assert cache.actor.holder(cache.cpus[0], 7) is None
    began_ns = cache.engine.now_ns
    assert cache.say(UnlockPage(pfn=100, put=True)) == [PageUnlocked(woken=1)]
    assert cache.cpus[2].answers()[-1] == RETRY
    assert cache.cpus[2].heard[-1][0] >= began_ns + 1000
    assert cache.cpus[1].answers()[-1] == MUST_SLEEP, "one at a time"
    assert cache.say(find(), cpu=2) == [PageFound(pfn=100, mkwrite=False)]
    assert cache.page(100).references == 2, "who slept has no reference of his own"


def test_unlocking_wakes_nobody_where_nobody_waits():
    cache = Cache()
    cache.fill(0)
    assert cache.say(find(), UnlockPage(pfn=100, put=False))[-1] == PageUnlocked(woken=0)
    assert cache.page(100).references == 2, "the reference has gone over to an entry"


def test_only_its_owner_unlocks_a_page():
    cache = Cache()
    cache.fill(0)
    cache.say(find())
    cache.say(UnlockPage(pfn=100, put=True), cpu=1)
    assert cache.stop().property == "lock_exclusion"


def test_page_mkwrite_needs_the_page_lock():
    cache = Cache(Filesystem.EXT4)
    cache.fill(0)
    heard = Heard(LockNeeded)
    cache.engine.observe(heard)
    cache.say(PageMkwrite(pfn=100))
    assert cache.stop().property == "lock_exclusion"
    assert heard.of(LockNeeded)[0].act == "calls page_mkwrite"


def test_pages_around_a_fault_are_those_that_are_there_and_not_locked_and_count_as_mapped():
    cache = Cache()
    cache.fill(1, 2, 5)
    cache.say(find(2), cpu=1)
    pages = PagesToMap(pages=((1, 101), (5, 105)), mkwrite=False)
    assert cache.say(MapPages(file=0, first=0, last=5)) == [pages]
    assert [cache.page(pfn).mapcount for pfn in (101, 102, 105)] == [1, 0, 1]
    assert [cache.page(pfn).references for pfn in (101, 105)] == [2, 2]
    assert cache.say(MapPages(file=0, first=2, last=4)) == [PagesToMap(pages=(), mkwrite=False)]


def test_what_leaves_the_page_tables_is_told_apart_from_frames_of_the_process():
    cache = Cache()
    cache.fill(0, 1)
    cache.say(MapPages(file=0, first=0, last=1))
    assert cache.say(PageRemoveRmap(pfns=(7, 100, 8, 101), written=(7, 100))) == [FilePages(pfns=(100, 101))]
    for pfn, dirty in ((100, True), (101, False)):
        assert (cache.page(pfn).mapcount, cache.page(pfn).references, cache.page(pfn).dirty) == (0, 1, dirty)


def test_a_reference_is_taken_on_pages_of_files_only():
    cache = Cache()
    cache.fill(0)
    assert cache.say(GetPage(pfn=100), GetPage(pfn=9)) == [PageGot(cached=True), PageGot(cached=False)]
    assert cache.page(100).references == 2
    cache.say(PutPage(pfn=100))
    assert cache.page(100).references == 1


@pytest.mark.parametrize(("filesystem", "counted"), [(Filesystem.TMPFS, 0), (Filesystem.EXT4, 1)])
def test_a_page_becomes_dirty_once_and_tmpfs_does_not_count_it(filesystem, counted):
    cache = Cache(filesystem)
    cache.fill(0)
    cache.say(find(), SetPageDirty(pfn=100), SetPageDirty(pfn=100), PageMkwrite(pfn=100), UnlockPage(pfn=100, put=True))
    assert cache.page(100).dirty
    assert [event.name for event in cache.heard.of(VmEvent)].count("nr_dirtied") == counted


def test_what_is_mapped_before_the_run_is_counted_and_dirty_for_each_that_maps_it():
    cache = Cache(cached=True)
    cache.say(SetUpFile(file=0, pfns=(11, 12)))
    assert cache.say(SetUpMapping(file=0, count=2), SetUpMapping(file=0, count=1)) == [
        MappingSetUp(pfns=(11, 12)),
        MappingSetUp(pfns=(11,)),
    ]
    assert [(cache.page(pfn).mapcount, cache.page(pfn).references) for pfn in (11, 12)] == [(2, 3), (1, 2)]
    assert cache.page(11).dirty


def test_only_what_is_there_is_mapped_before_the_run():
    with pytest.raises(ActorCrash) as crashed:
        Cache().say(SetUpMapping(file=0, count=1))
    assert str(crashed.value.__cause__) == "file 0 does not begin with page 0"


# --- costs ------------------------------------------------------------------------------------------------------------


def test_finding_and_locking_is_a_walk_and_two_atomics_on_one_line():
    cache = Cache(page_cache_find_ns=30, atomic_ns=6)
    cache.fill(0)
    assert cache.took(find()) == 30 + 6 + 6
    cache.say(UnlockPage(pfn=100, put=True))
    assert cache.took(find(), cpu=1) == 30 + 50 + 6 + 6, "the line comes from the other CPU"


def test_mapping_pages_around_a_fault_is_four_atomics_on_the_line_of_each():
    cache = Cache(page_cache_find_ns=30, atomic_ns=6)
    cache.fill(0, 1)
    cache.fill(2, cpu=1)
    assert cache.took(MapPages(file=0, first=0, last=1)) == 30 + 2 * 4 * 6
    assert cache.took(MapPages(file=0, first=0, last=2)) == 30 + 3 * 4 * 6 + 50, "one line comes from the other CPU"


def test_what_leaves_an_entry_costs_two_atomics_and_the_accounting_where_it_becomes_dirty():
    cache = Cache(Filesystem.EXT4, page_dirty_ns=100, atomic_ns=6)
    cache.fill(0, 1)
    cache.say(MapPages(file=0, first=0, last=1))
    assert cache.took(PageRemoveRmap(pfns=(101,), written=())) == 2 * 6
    assert cache.took(PageRemoveRmap(pfns=(100,), written=(100,))) == 6 + 100 + 2 * 6


def test_inserts_into_one_file_queue_for_its_lock_and_those_into_two_do_not():
    cache = Cache(page_cache_insert_ns=1000)
    cache.say(OpenFile(filesystem=Filesystem.TMPFS, cached=False))
    began_ns = cache.engine.now_ns
    for cpu, file in ((0, 0), (1, 0), (2, 1)):
        cache.cpus[cpu].say(began_ns, cache.actor, AddToPageCache(file=file, index=cpu, pfn=50 + cpu))
    cache.engine.stop = None
    run_inline(cache.engine)
    first, second, other = (probe.heard[-1][0] - began_ns for probe in cache.cpus)
    assert first < 1200
    assert other < 1200
    assert 2000 < second < 2400


def test_page_mkwrite_costs_what_it_computes_and_the_first_time_the_accounting():
    cache = Cache(Filesystem.EXT4, page_mkwrite_ns=800, page_dirty_ns=100, atomic_ns=6)
    cache.fill(0)
    cache.say(find())
    cache.say(PageMkwrite(pfn=100), SetPageDirty(pfn=100))
    again = cache.took(PageMkwrite(pfn=100))
    assert again == 800 + 2 * 6
    cache.page(100).dirty = False
    assert cache.took(PageMkwrite(pfn=100)) == again + 100 + 6


# --- whatever happens -------------------------------------------------------------------------------------------------

PAGES = st.integers(0, 3)
CPUS = st.integers(0, 2)


class Users:
    """CPUs that do what CPUs do with pages, and what the page cache must then hold."""

    def __init__(self):
        self.cache = Cache()
        self.locked = {}
        self.mapped = Counter()
        self.frames = {}
        self.next_pfn = 100

    def _find_lock(self, cpu, index):
        if cpu in self.locked or index in self.locked.values():
            return None
        (found,) = self.cache.say(find(index), cpu=cpu)
        if found.pfn < 0:
            assert index not in self.frames
            self.next_pfn += 1
            (found,) = self.cache.say(AddToPageCache(file=0, index=index, pfn=self.next_pfn), cpu=cpu)
            self.frames[index] = self.next_pfn
        assert found.pfn == self.frames[index]
        self.locked[cpu] = index
        return found.pfn

    def fault(self, cpu, index):
        """Map a page, as a read fault does."""
        pfn = self._find_lock(cpu, index)
        if pfn is not None:
            self.cache.say(PageAddFileRmap(pfn=pfn), UnlockPage(pfn=pfn, put=False), cpu=cpu)
            self.mapped[index] += 1
            del self.locked[cpu]

    def lock(self, cpu, index):
        """Begin to copy a page."""
        self._find_lock(cpu, index)

    def unlock(self, cpu, _index):
        """Be done with that."""
        if cpu in self.locked:
            self.cache.say(UnlockPage(pfn=self.frames[self.locked.pop(cpu)], put=True), cpu=cpu)

    def around(self, cpu, index):
        """Map the first pages up to this one."""
        (found,) = self.cache.say(MapPages(file=0, first=0, last=index), cpu=cpu)
        expected = [page for page in sorted(self.frames) if page <= index and page not in self.locked.values()]
        assert [page for page, _ in found.pages] == expected
        self.mapped.update(expected)

    def unmap(self, cpu, index):
        """Take out one entry of each page from this one on, and a frame that is no file's."""
        pages = [page for page in sorted(self.frames) if page >= index and self.mapped[page]]
        pfns = tuple(self.frames[page] for page in pages)
        assert self.cache.say(PageRemoveRmap(pfns=(5, *pfns), written=()), cpu=cpu) == [FilePages(pfns=pfns)]
        self.mapped.subtract(pages)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["fault", "lock", "unlock", "around", "unmap"]), CPUS, PAGES), max_size=25))
def test_references_and_mapcounts_are_conserved_whatever_happens(acts):
    users = Users()
    for act, cpu, index in acts:
        getattr(users, act)(cpu, index)
    assert users.cache.stop() is None or users.cache.stop().kind == "quiescent"
    assert users.cache.actor.frames() == set(users.frames.values())
    for index, pfn in users.frames.items():
        page, locked = users.cache.page(pfn), index in users.locked.values()
        assert page.mapcount == users.mapped[index]
        assert page.references == 1 + page.mapcount + locked
        assert (page.owner is not None) == locked
