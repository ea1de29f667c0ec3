"""`Buddy` against a naive buddy (sets of blocks, split and merged one step at a time) and against pinned examples."""

import random
import sys

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kactors.kernel.buddy import MAX_ORDER_LIMIT, Buddy

ORDERS = st.integers(0, 6)
COUNTS = st.integers(0, 40)


class NaiveBuddy:
    """The rules word by word: lowest block of the smallest sufficient order, keep the low half, merge buddies."""

    def __init__(self, pages, max_order):
        self.max_order = max_order
        self.free = [set() for _ in range(max_order + 1)]
        pfn = 0
        while pfn < pages:
            order = max(o for o in range(max_order + 1) if pfn % (1 << o) == 0 and pfn + (1 << o) <= pages)
            self.free[order].add(pfn)
            pfn += 1 << order

    def alloc(self, order):
        source = next((o for o in range(order, self.max_order + 1) if self.free[o]), None)
        if source is None:
            return None
        pfn = min(self.free[source])
        self.free[source].remove(pfn)
        while source > order:
            source -= 1
            self.free[source].add(pfn + (1 << source))
        return pfn

    def give_back(self, pfn, order):
        while order < self.max_order and (pfn ^ (1 << order)) in self.free[order]:
            self.free[order].remove(pfn ^ (1 << order))
            pfn &= ~(1 << order)
            order += 1
        self.free[order].add(pfn)


def blocks_of(buddy):
    return [buddy.free_blocks(order) for order in range(buddy.max_order + 1)]


class BuddyMachine(RuleBasedStateMachine):
    @initialize(pages=st.integers(0, 300), max_order=ORDERS)
    def boot(self, pages, max_order):
        self.pages = pages
        self.max_order = max_order
        self.buddy = Buddy(pages, max_order=max_order)
        self.naive = NaiveBuddy(pages, max_order)
        self.taken = {}

    @rule(order=ORDERS)
    def alloc(self, order):
        order = min(order, self.max_order)
        pfn = self.buddy.alloc(order)
        assert pfn == self.naive.alloc(order)
        if pfn is not None:
            self.taken[pfn] = order

    @rule(order=ORDERS, count=COUNTS)
    def alloc_bulk(self, order, count):
        order = min(order, self.max_order)
        pfns = self.buddy.alloc_bulk(order, count)
        one_by_one = [self.naive.alloc(order) for _ in range(count)]
        assert pfns == [pfn for pfn in one_by_one if pfn is not None]
        self.taken.update(dict.fromkeys(pfns, order))

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def free(self, data):
        pfn = data.draw(st.sampled_from(list(self.taken)))
        order = self.taken.pop(pfn)
        self.buddy.free(pfn, order)
        self.naive.give_back(pfn, order)
        with pytest.raises(ValueError, match="double free"):
            self.buddy.free(pfn, order)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def free_bulk(self, data):
        order = data.draw(st.sampled_from(list(self.taken.values())))
        same_order = [pfn for pfn, o in self.taken.items() if o == order]
        pfns = data.draw(st.lists(st.sampled_from(same_order), unique=True))
        self.buddy.free_bulk(pfns, order)
        for pfn in pfns:
            del self.taken[pfn]
            self.naive.give_back(pfn, order)

    @rule(pfn=st.integers(-2, 320), order=st.integers(-2, 8))
    def refuse_what_was_not_allocated(self, pfn, order):
        if self.taken.get(pfn) == order:
            return
        before = blocks_of(self.buddy), self.buddy.buddyinfo(), self.buddy.free_pages
        with pytest.raises(ValueError, match=r"^free\(pfn="):
            self.buddy.free(pfn, order)
        assert (blocks_of(self.buddy), self.buddy.buddyinfo(), self.buddy.free_pages) == before

    @invariant()
    def the_free_lists_are_those_of_the_naive_buddy(self):
        assert blocks_of(self.buddy) == [tuple(sorted(blocks)) for blocks in self.naive.free]
        assert self.buddy.buddyinfo() == tuple(len(blocks) for blocks in self.naive.free)

    @invariant()
    def every_frame_is_in_exactly_one_aligned_block(self):
        free = [(pfn, order) for order, blocks in enumerate(blocks_of(self.buddy)) for pfn in blocks]
        blocks = [*free, *self.taken.items()]
        assert all(pfn % (1 << order) == 0 for pfn, order in blocks)
        frames = [frame for pfn, order in blocks for frame in range(pfn, pfn + (1 << order))]
        assert sorted(frames) == list(range(self.pages))

    @invariant()
    def free_and_allocated_pages_sum_up(self):
        assert self.buddy.free_pages + sum(1 << order for order in self.taken.values()) == self.pages

    def teardown(self):
        if not hasattr(self, "buddy"):
            return
        for pfn, order in self.taken.items():
            self.buddy.free(pfn, order)
        assert blocks_of(self.buddy) == blocks_of(Buddy(self.pages, max_order=self.max_order))


TestBuddyAgainstTheNaiveBuddy = BuddyMachine.TestCase
TestBuddyAgainstTheNaiveBuddy.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(pages=st.integers(0, 300), calls=st.lists(st.tuples(st.sampled_from(["alloc", "bulk", "free"]), ORDERS, COUNTS)))
def test_the_same_calls_give_the_same_answers(pages, calls):
    def answers():
        buddy, taken, heard = Buddy(pages, max_order=6), [], []
        for call, order, count in calls:
            if call == "free" and taken:
                buddy.free(*taken.pop(count % len(taken)))
            elif call != "free":
                pfns = [buddy.alloc(order)] if call == "alloc" else buddy.alloc_bulk(order, count)
                heard.append(pfns)
                taken.extend((pfn, order) for pfn in pfns if pfn is not None)
            heard.append(buddy.buddyinfo())
        return heard, blocks_of(buddy)

    assert answers() == answers()


@pytest.mark.parametrize("seed", range(4))
def test_a_long_walk_agrees_with_the_naive_buddy(seed):
    # Stale heap entries come back to life, pile up and are trimmed only in walks longer than Hypothesis takes.
    draw = random.Random(seed)
    buddy, naive, taken = Buddy(1500, max_order=8), NaiveBuddy(1500, 8), []
    for step in range(12_000):
        order = draw.choice([0, 0, 0, 0, 1, 2, 5])
        if draw.random() < (0.8 if step // 1_000 % 2 else 0.2) and taken:  # drain and fill in turns
            pfn, order = taken.pop(draw.randrange(len(taken)))
            buddy.free(pfn, order)
            naive.give_back(pfn, order)
        elif (pfn := naive.alloc(order)) is not None:
            taken.append((pfn, order))
            assert buddy.alloc(order) == pfn
        else:
            assert buddy.alloc(order) is None
    assert blocks_of(buddy) == [tuple(sorted(blocks)) for blocks in naive.free]


# Examples.


def test_a_new_zone_has_max_order_blocks_and_the_binary_digits_of_the_rest():
    buddy = Buddy(16 + 7, max_order=3)
    assert buddy.buddyinfo() == (1, 1, 1, 2)
    assert blocks_of(buddy) == [(22,), (20,), (16,), (0, 8)]
    assert (buddy.pages, buddy.max_order, buddy.free_pages) == (23, 3, 23)


def test_the_smallest_sufficient_order_wins_over_the_lowest_address():
    buddy = Buddy(9, max_order=3)
    assert buddy.alloc(0) == 8
    assert buddy.alloc(0) == 0


def test_a_split_keeps_the_low_half_and_lists_the_high_halves():
    buddy = Buddy(1024)
    assert buddy.alloc(0) == 0
    assert buddy.buddyinfo() == (1,) * 10 + (0,)
    assert [buddy.free_blocks(order) for order in range(10)] == [(1 << order,) for order in range(10)]


def test_a_free_merges_only_with_its_own_buddy():
    buddy = Buddy(8, max_order=3)
    assert [buddy.alloc(0) for _ in range(8)] == list(range(8))
    buddy.free(1, 0)
    buddy.free(2, 0)  # a neighbour of 1, but its buddy is 3
    assert buddy.buddyinfo() == (2, 0, 0, 0)
    buddy.free(3, 0)
    assert (buddy.free_blocks(0), buddy.free_blocks(1)) == ((1,), (2,))
    buddy.free(0, 0)
    assert buddy.free_blocks(2) == (0,)


def test_lowest_address_first_whatever_the_order_of_frees():
    buddy = Buddy(64, max_order=3)
    pfns = buddy.alloc_bulk(0, 64)
    buddy.free_bulk([42, 10, 58, 26], 0)
    assert buddy.alloc_bulk(0, 4) == [10, 26, 42, 58]
    buddy.free_bulk(pfns, 0)
    blocks = buddy.alloc_bulk(3, 8)
    buddy.free_bulk([40, 8, 24], 3)
    assert [buddy.alloc(3) for _ in range(4)] == [8, 24, 40, None]
    assert blocks == list(range(0, 64, 8))


def test_alloc_gives_none_when_fragmented_and_changes_nothing():
    buddy = Buddy(8, max_order=3)
    buddy.alloc_bulk(0, 8)
    buddy.free_bulk([0, 2, 4, 6], 0)
    assert buddy.alloc(1) is None
    assert buddy.alloc_bulk(1, 2) == []
    assert (buddy.free_pages, buddy.buddyinfo()) == (4, (4, 0, 0, 0))


def test_alloc_bulk_is_short_when_the_zone_runs_dry():
    buddy = Buddy(11, max_order=3)
    assert buddy.alloc_bulk(1, 100) == [8, 0, 2, 4, 6]
    assert buddy.free_pages == 1


def test_an_empty_zone_has_nothing():
    buddy = Buddy(0)
    assert buddy.alloc(0) is None
    assert buddy.buddyinfo() == (0,) * 11


def test_max_order_zero_is_a_plain_list_of_pages():
    buddy = Buddy(3, max_order=0)
    assert buddy.alloc_bulk(0, 4) == [0, 1, 2]
    buddy.free_bulk([2, 0], 0)
    assert buddy.free_blocks(0) == (0, 2)
    assert buddy.alloc(0) == 0


@pytest.mark.parametrize(
    ("pfn", "order", "reason"),
    [
        (0, 0, "wrong order, the block was allocated with order 2"),
        (0, 3, "wrong order, the block was allocated with order 2"),
        (2, 1, "not the start of an allocated block"),  # inside the order 2 block at 0
        (4, 0, "not the start of an allocated block"),  # free
        (16, 0, "not the start of an allocated block"),  # free, in a block nobody has touched
        (2, 2, "misaligned"),
        (32, 0, "pfn is outside 0..31"),
        (-1, 0, "pfn is outside 0..31"),
        (0, 5, "order 5 is outside 0..4"),
        (0, -1, "order -1 is outside 0..4"),
    ],
)
def test_free_says_why_it_refuses(pfn, order, reason):
    buddy = Buddy(32, max_order=4)
    assert buddy.alloc(2) == 0
    with pytest.raises(ValueError, match=reason):
        buddy.free(pfn, order)
    buddy.free(0, 2)
    assert buddy.buddyinfo() == (0, 0, 0, 0, 2)


def test_a_double_free_is_refused_before_and_after_the_merge():
    buddy = Buddy(16, max_order=3)
    buddy.alloc_bulk(0, 3)
    for pfn in (0, 1, 2):  # no buddy yet; merged, but not up to max order; merged up to max order
        buddy.free(pfn, 0)
        with pytest.raises(ValueError, match="double free"):
            buddy.free(pfn, 0)
    assert buddy.buddyinfo() == (0, 0, 0, 2)


def test_free_bulk_stops_at_the_first_bad_pfn():
    buddy = Buddy(8, max_order=3)
    buddy.alloc_bulk(0, 4)
    with pytest.raises(ValueError, match="pfn=6"):
        buddy.free_bulk([0, 6, 1], 0)
    assert buddy.free_pages == 5


@pytest.mark.parametrize("order", [-1, 4])
def test_an_order_outside_the_zone_is_refused(order):
    buddy = Buddy(8, max_order=3)
    for call in (buddy.alloc, buddy.free_blocks, lambda order: buddy.alloc_bulk(order, 1)):
        with pytest.raises(ValueError, match=rf"order {order} is outside 0\.\.3"):
            call(order)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="pages must be 0 or more"):
        Buddy(-1)
    with pytest.raises(ValueError, match="max_order must be in"):
        Buddy(8, max_order=-1)
    with pytest.raises(ValueError, match="max_order must be in"):
        Buddy(8, max_order=MAX_ORDER_LIMIT + 1)
    with pytest.raises(ValueError, match="count must be 0 or more"):
        Buddy(8).alloc_bulk(0, -1)


# Memory: an implementation detail, but one that a 64 GB zone lives by.


def held_bytes(buddy):
    containers = [*buddy._heaps, *buddy._arenas.values(), buddy._heaps, buddy._arenas, buddy._counts]
    return sum(sys.getsizeof(container) for container in containers)


def test_a_big_zone_costs_what_is_used_of_it():
    buddy = Buddy(16_000_000)
    assert held_bytes(buddy) < 2_000
    pfns = buddy.alloc_bulk(0, 5_000)
    assert len(buddy._arenas) == 5
    buddy.free_bulk(pfns, 0)
    assert buddy._arenas == {}
    assert buddy.buddyinfo() == (0,) * 10 + (15_625,)


def test_an_alloc_free_loop_leaves_no_stale_entries():
    buddy = Buddy(4096)
    for _ in range(1_000):
        buddy.free(buddy.alloc(0), 0)
    assert sum(map(len, buddy._heaps)) == 1


def test_merging_trims_stale_entries():
    buddy = Buddy(1 << 14)
    buddy.alloc_bulk(0, 1 << 14)
    buddy.free_bulk(range(0, 1 << 14, 2), 0)
    assert len(buddy._heaps[0]) == 1 << 13
    buddy.free_bulk(range(1, 1 << 14, 2), 0)
    assert max(map(len, buddy._heaps)) < 200
    assert buddy.alloc_bulk(10, 20) == list(range(0, 1 << 14, 1024))
