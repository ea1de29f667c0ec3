"""`RangeSet` against a plain set of addresses."""

from itertools import pairwise

from hypothesis import given, strategies as st

from kactors.recordings.ranges import RangeSet

ADDRESSES = st.integers(0, 30)
CHANGES = st.lists(st.tuples(st.booleans(), ADDRESSES, ADDRESSES), max_size=20)


@given(CHANGES, ADDRESSES, ADDRESSES)
def test_ranges_are_a_set_of_addresses(changes, start, end):
    ranges, naive = RangeSet(), set()
    for add, low, high in changes:
        if add:
            ranges.add(low, high)
            naive |= set(range(low, high))
        else:
            ranges.remove(low, high)
            naive -= set(range(low, high))
    assert [address in ranges for address in range(32)] == [address in naive for address in range(32)]
    listed = list(ranges)
    assert all(low < high for low, high in listed)
    assert all(high < low for (_, high), (low, _) in pairwise(listed))
    gaps = [address for low, high in ranges.gaps(start, end) for address in range(low, high)]
    assert gaps == [address for address in range(start, end) if address not in naive]
    assert ranges.meets(start, end) is bool(naive & set(range(start, end)))
