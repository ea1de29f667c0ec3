"""What must be mapped before the recording begins."""

from itertools import pairwise

from hypothesis import given, strategies as st

from kactors.recordings import Brk, Fault, Madvise, Mmap, Mprotect, Munmap, RecordedArea
from kactors.recordings.areas import JOIN_BYTES, MMAP_MIN_BYTES, areas_before
from kactors.recordings.threads import TimedStep

PAGE = 4096
BASE = 0x7F0000000000
ANON, FIXED = 0x22, 0x32
RW, RX, R = 3, 5, 1


def fault(page, *, write=True, instruction=False):
    return Fault(0, BASE + page * PAGE + 123, write, instruction)


def mmap(page, pages, flags=ANON):
    return Mmap(0, BASE + page * PAGE, pages * PAGE - 7, RW, flags, -1, 0)


def munmap(page, pages):
    return Munmap(0, BASE + page * PAGE, pages * PAGE - 7)


def areas(*steps):
    """The areas of steps that take effect one after the other, as (first page, end page, prot, file)."""
    found = areas_before(TimedStep(at, step) for at, step in enumerate(steps))
    return [((area.start - BASE) // PAGE, (area.end - BASE) // PAGE, area.prot, area.file) for area in found]


def test_a_fault_outside_every_area_was_mapped_before():
    assert areas(fault(5)) == [(5, 6, RW, False)]
    assert areas_before([TimedStep(0, fault(5))]) == (RecordedArea(BASE + 5 * PAGE, BASE + 6 * PAGE, RW, False),)


def test_what_was_mapped_since_was_not_there_before():
    assert areas(mmap(5, 2), fault(5), fault(6), Mprotect(0, BASE + 5 * PAGE, 8, R), munmap(5, 2)) == []


def test_the_order_of_time_counts_not_the_order_of_threads():
    steps = [TimedStep(20, fault(5)), TimedStep(10, mmap(5, 1))]
    assert areas_before(steps) == ()


def test_ranges_of_calls_are_areas_without_any_fault():
    assert areas(munmap(5, 2)) == [(5, 7, RW, False)]
    assert areas(Mprotect(0, BASE + PAGE, 3 * PAGE, R)) == [(1, 4, RW, False)]
    assert areas(Madvise(0, BASE + PAGE, 3 * PAGE, 4)) == [(1, 4, RW, False)]


def test_only_the_part_of_a_range_that_nothing_mapped_was_there_before():
    assert areas(mmap(5, 2), munmap(4, 4)) == [(4, 5, RW, False), (7, 8, RW, False)]
    assert areas(munmap(5, 2), Mprotect(0, BASE + 4 * PAGE, 4 * PAGE, R)) == [(4, 8, RW, False)]


def test_pieces_within_2_mib_are_one_area():
    reach = JOIN_BYTES // PAGE
    assert areas(fault(0), fault(1 + reach)) == [(0, 2 + reach, RW, False)]
    assert areas(fault(0), fault(2 + reach)) == [(0, 1, RW, False), (2 + reach, 3 + reach, RW, False)]


def test_an_mmap_that_found_the_space_free_keeps_pieces_apart():
    assert areas(fault(0), mmap(3, 2), fault(9)) == [(0, 1, RW, False), (9, 10, RW, False)]
    assert areas(fault(0), fault(9), mmap(3, 2)) == [(0, 1, RW, False), (9, 10, RW, False)]


def test_an_mmap_into_space_that_was_just_given_back_or_is_fixed_does_not():
    assert areas(fault(0), fault(9), mmap(3, 2, FIXED)) == [(0, 10, RW, False)]
    # Pages 3 and 4 were mapped before, for a munmap gave them back: a neighbour of their own.
    assert areas(fault(2), munmap(3, 2), mmap(3, 2), fault(5)) == [(2, 6, RW, False)]


def test_a_range_that_was_unmapped_by_itself_keeps_pieces_apart():
    assert areas(fault(0), munmap(3, 2), fault(9)) == [(0, 1, RW, False), (3, 5, RW, False), (9, 10, RW, False)]


def test_a_range_that_touches_is_joined_even_if_it_was_unmapped():
    assert areas(fault(2), munmap(3, 2)) == [(2, 5, RW, False)]


def test_what_an_mmap_found_free_is_in_no_area_whatever_is_seen_there_later():
    assert areas(mmap(3, 2), munmap(3, 2), fault(3), fault(5)) == [(5, 6, RW, False)]
    assert areas(fault(3), mmap(3, 2)) == []


def test_reads_and_fetches_make_a_file_a_write_does_not():
    assert areas(fault(0, write=False)) == [(0, 1, R, True)]
    assert areas(fault(0, write=False, instruction=True)) == [(0, 1, RX, True)]
    assert areas(fault(0, write=False), fault(1, write=False, instruction=True)) == [(0, 2, RX, True)]
    assert areas(fault(0, write=False), fault(1)) == [(0, 2, RW, False)]


def test_text_and_data_side_by_side_are_two_areas_and_generated_code_is_one():
    text, data = fault(0, write=False, instruction=True), fault(1)
    assert areas(text, data) == [(0, 1, RX, True), (1, 2, RW, False)]
    assert areas(text, Mprotect(0, BASE + PAGE, PAGE, R), data) == [(0, 1, RX, True), (1, 2, RW, False)]
    assert areas(text, fault(0), data) == [(0, 2, RW | RX, False)]


def test_a_null_pointer_is_no_area():
    assert areas_before([TimedStep(0, Fault(0, 8, False, False))]) == ()
    assert areas_before([TimedStep(0, Fault(0, MMAP_MIN_BYTES, False, False))]) != ()


def test_the_heap_grows_and_shrinks_from_the_first_break_that_is_seen():
    heap = [Brk(0, BASE + 100), Brk(0, BASE + 3 * PAGE)]
    assert areas(*heap, fault(1), fault(2)) == []
    assert areas(*heap, fault(0), fault(4)) == [(0, 1, RW, False), (4, 5, RW, False)]
    assert areas(*heap, Brk(0, BASE), fault(5)) == [(0, 1, RW, False), (5, 6, RW, False)]
    assert areas(Brk(0, BASE + PAGE), fault(0), fault(3)) == [(0, 4, RW, False)]


PAGES = 24
RANGES = st.tuples(st.integers(0, PAGES - 1), st.integers(1, 4))
HISTORIES = st.lists(st.tuples(st.sampled_from(["fault", "mmap", "munmap", "mprotect"]), RANGES), max_size=30)


@given(st.sets(st.integers(0, PAGES - 1)), HISTORIES)
def test_areas_and_mmaps_hold_what_a_real_address_space_held(before, history):
    """Of a process that began with the pages `before`: all that it touched is there, and nothing that was free."""
    mapped, steps, found_free = set(before), [], set()
    for what, (first, count) in history:
        span = set(range(first, first + count))
        if what == "fault" and first in mapped:
            steps.append(fault(first))
        elif what == "mmap" and not span & mapped:
            steps.append(mmap(first, count))
            found_free |= span - before
            mapped |= span
        elif what == "munmap" and span <= mapped:
            steps.append(munmap(first, count))
            mapped -= span
        elif what == "mprotect" and span <= mapped:
            steps.append(Mprotect(0, BASE + first * PAGE, count * PAGE, R))
    spans = [(start, end) for start, end, _, _ in areas(*steps)]
    assert all(start < end for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    held = {page for start, end in spans for page in range(start, end)}
    assert not held & found_free
    needed = {page for step in steps if isinstance(step, Fault) for page in [(step.address - BASE) // PAGE]}
    assert needed <= held | found_free
