"""The per-CPU page list against a plain list, and entries as numbers."""

from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kactors.kernel.cpu_parts.pages import PageList
from kactors.kernel.pte import PTE_NONE, ZERO_PFN, allows, mk_pte, pte_pfn, pte_write, within

HIGH, BATCH = 6, 3


class PageListAndList(RuleBasedStateMachine):
    """``pages``: coldest first."""

    def __init__(self):
        super().__init__()
        self.list = PageList(HIGH, BATCH)
        self.pages = []
        self.born = 0

    @rule()
    def take_the_warmest(self):
        assert self.list.take() == (self.pages.pop() if self.pages else None)

    @rule()
    def put(self):
        self.born += 1
        self.list.put(self.born)
        self.pages.append(self.born)

    @rule(count=st.integers(1, BATCH))
    def refill(self, count):
        fresh = tuple(range(self.born + 1, self.born + count + 1))
        self.born += count
        self.list.refill(fresh)
        self.pages += reversed(fresh)

    @rule()
    def overflow_gives_the_coldest_batch_back(self):
        expected = self.pages[:BATCH] if len(self.pages) >= HIGH else []
        assert self.list.overflow() == tuple(expected)
        del self.pages[: len(expected)]

    @rule()
    def drain(self):
        assert self.list.drain() == tuple(self.pages)
        self.pages.clear()

    @invariant()
    def both_hold_as_many(self):
        assert len(self.list) == len(self.pages)


TestPageList = PageListAndList.TestCase
TestPageList.settings = settings(max_examples=50, stateful_step_count=20)


def test_of_a_fresh_batch_the_lowest_frame_goes_first():
    pages = PageList(HIGH, BATCH)
    pages.refill((10, 11, 12))
    assert [pages.take(), pages.take(), pages.take(), pages.take()] == [10, 11, 12, None]
    assert pages.batch == BATCH


def test_with_high_0_each_freed_page_goes_straight_back():
    pages = PageList(0, 1)
    assert pages.overflow() == ()
    pages.put(7)
    assert pages.overflow() == (7,)


@given(st.integers(0, ZERO_PFN), st.booleans())
def test_an_entry_says_what_it_was_made_of(pfn, write):
    pte = mk_pte(pfn, write=write)
    assert (pte_pfn(pte), pte_write(pte)) == (pfn, write)
    assert allows(pte, write=False)
    assert allows(pte, write=True) == write
    assert pte != PTE_NONE
    assert not allows(PTE_NONE, write=False)


@given(st.sets(st.integers(0, 30)), st.integers(0, 30), st.integers(0, 30))
def test_within_is_the_sorted_keys_of_the_range(keys, first, last):
    assert within(dict.fromkeys(keys), first, last) == sorted(key for key in keys if first <= key < last)
