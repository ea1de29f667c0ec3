"""The areas of an mm against the plainest model there is: a dictionary from page to area."""

from itertools import pairwise

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kactors.kernel.vma_tree import VmaTree
from protocols.vma import VmaKind

BOTTOM, TOP = 4, 60
ADDRESSES = st.integers(0, TOP - 1)
LENGTHS = st.integers(1, 12)


class AreasAndPages(RuleBasedStateMachine):
    """``pages`` maps each page to its area's number."""

    def __init__(self):
        super().__init__()
        self.tree = VmaTree(top=TOP, bottom=BOTTOM)
        self.pages = {}

    def any_area(self, data):
        return data.draw(st.sampled_from(list(self.tree)))

    def renumber(self, pages, vma_id):
        self.pages |= dict.fromkeys(pages, vma_id)

    @rule(start=ADDRESSES, length=LENGTHS)
    def new(self, start, length):
        end = start + length
        if any(page in self.pages for page in range(start, end)):
            with pytest.raises(ValueError, match="overlaps"):
                self.tree.new(start, end, readable=True, writable=True, kind=VmaKind.ANON)
            return
        vma = self.tree.new(start, end, readable=True, writable=True, kind=VmaKind.ANON)
        assert vma.vma_id not in self.pages.values()
        self.renumber(range(start, end), vma.vma_id)

    @precondition(lambda self: len(self.tree))
    @rule(data=st.data())
    def erase(self, data):
        vma = self.any_area(data)
        self.tree.erase(vma)
        assert not vma.attached
        self.pages = {page: vma_id for page, vma_id in self.pages.items() if vma_id != vma.vma_id}

    @precondition(lambda self: any(vma.end - vma.start > 1 for vma in self.tree))
    @rule(data=st.data())
    def split(self, data):
        vma = data.draw(st.sampled_from([vma for vma in self.tree if vma.end - vma.start > 1]))
        end, at = vma.end, data.draw(st.integers(vma.start + 1, vma.end - 1))
        vma.sequence, vma.readers, vma.writer_waits, vma.anon_vma = 3, 1, True, True
        upper = self.tree.split(vma, at)
        assert (upper.sequence, upper.references, upper.readers, upper.writer_waits) == (0, 1, 0, False)
        assert upper.anon_vma
        assert upper.vma_id not in self.pages.values()
        self.renumber(range(at, end), upper.vma_id)

    @precondition(lambda self: self.touching())
    @rule(data=st.data())
    def absorb(self, data):
        lower, upper = data.draw(st.sampled_from(self.touching()))
        self.renumber(range(upper.start, upper.end), lower.vma_id)
        anon_vma = lower.anon_vma or upper.anon_vma
        self.tree.absorb(lower, upper)
        assert not upper.attached
        assert lower.anon_vma == anon_vma

    def touching(self):
        return [(lower, upper) for lower, upper in pairwise(self.tree) if lower.end == upper.start]

    @precondition(lambda self: len(self.tree))
    @rule(data=st.data(), down=st.integers(0, 3), up=st.integers(0, 3))
    def extend_into_free_space(self, data, down, up):
        vma = self.any_area(data)
        wanted = range(max(vma.start - down, 0), vma.end + up)
        if all(self.pages.get(page, vma.vma_id) == vma.vma_id for page in wanted):
            self.tree.extend(vma, wanted.start, wanted.stop)
            self.renumber(wanted, vma.vma_id)

    @rule(address=st.integers(0, TOP + 4))
    def find(self, address):
        found = self.tree.find(address)
        assert (found and found.vma_id) == self.pages.get(address)
        straddling = self.tree.straddling(address)
        inside = address in self.pages and self.pages.get(address - 1) == self.pages[address]
        assert (straddling is not None) == inside

    @rule(start=st.integers(0, TOP + 4), length=LENGTHS)
    def overlapping(self, start, length):
        expected = {self.pages[page] for page in range(start, start + length) if page in self.pages}
        found = self.tree.overlapping(start, start + length)
        assert {vma.vma_id for vma in found} == expected
        assert len(found) == len(expected)

    @rule(start=st.integers(1, TOP + 4), length=LENGTHS)
    def neighbours(self, start, length):
        below, above = self.tree.neighbours(start, start + length)
        assert (below and below.vma_id) == self.pages.get(start - 1)
        begins = self.pages.get(start + length)
        expected = begins if begins != self.pages.get(start + length - 1) else None
        assert (above and above.vma_id) == expected

    @rule(length=LENGTHS, align=st.sampled_from([1, 4]))
    def the_highest_gap_that_fits(self, length, align):
        places = range((TOP - length) // align * align, BOTTOM - 1, -align)
        fits = (at for at in places if not any(page in self.pages for page in range(at, at + length)))
        assert self.tree.unmapped_area(length, align) == next(fits, None)

    @invariant()
    def the_areas_are_sorted_and_tile_the_pages(self):
        tiled = {}
        last_end = 0
        for vma in self.tree:
            assert last_end <= vma.start < vma.end
            assert vma.attached
            last_end = vma.end
            tiled |= dict.fromkeys(range(vma.start, vma.end), vma.vma_id)
        assert tiled == self.pages
        assert len(self.tree) == len(set(self.pages.values()))


TestVmaTree = AreasAndPages.TestCase
TestVmaTree.settings = settings(max_examples=60, stateful_step_count=30)


def test_an_empty_area_is_refused():
    with pytest.raises(ValueError, match="empty"):
        VmaTree(TOP).new(8, 8, readable=True, writable=True, kind=VmaKind.ANON)


def test_areas_above_the_top_take_no_part_in_placing():
    tree = VmaTree(top=100, bottom=0)
    tree.new(90, 120, readable=True, writable=True, kind=VmaKind.ANON)
    tree.new(130, 140, readable=True, writable=True, kind=VmaKind.ANON)
    assert tree.unmapped_area(10) == 80


def test_only_anonymous_areas_with_the_same_flags_merge():
    tree = VmaTree(top=100, bottom=0)
    base = tree.new(0, 10, readable=True, writable=True, kind=VmaKind.ANON)
    same = tree.new(10, 20, readable=True, writable=True, kind=VmaKind.ANON)
    read_only = tree.new(20, 30, readable=True, writable=False, kind=VmaKind.ANON)
    file = tree.new(30, 40, readable=True, writable=True, kind=VmaKind.FILE)
    huge = tree.new(40, 50, readable=True, writable=True, kind=VmaKind.ANON)
    huge.hugepage = True
    assert base.mergeable_with(same)
    assert not any(base.mergeable_with(other) for other in (read_only, file, huge))
    assert not file.mergeable_with(file)


def test_a_snapshot_tells_what_a_fault_needs():
    vma = VmaTree(top=100).new(10, 20, readable=True, writable=False, kind=VmaKind.STACK)
    vma.sequence = 5
    snapshot = vma.snapshot()
    assert (snapshot.vma_id, snapshot.start, snapshot.end) == (vma.vma_id, 10, 20)
    assert (snapshot.readable, snapshot.writable, snapshot.kind) == (True, False, VmaKind.STACK)
    assert (snapshot.sequence, snapshot.anon_vma, snapshot.hugepage) == (5, False, False)
