"""A set of addresses kept as ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from kactors.recordings.steps import PAGE_BYTES


def page_range(address: int, length: int) -> tuple[int, int]:
    """The pages of a range in bytes, as the kernel rounds them."""
    start = address - address % PAGE_BYTES
    return start, -(-(address + length) // PAGE_BYTES) * PAGE_BYTES


class RangeSet:
    """Addresses in disjoint half-open ranges [start, end), in bytes; an empty range is no range."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __contains__(self, address: int) -> bool:
        index = bisect_right(self._starts, address) - 1
        return index >= 0 and address < self._ends[index]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The ranges, ascending; those that touch are one."""
        return zip(self._starts, self._ends, strict=True)

    def add(self, start: int, end: int) -> None:
        """Puts [start, end) in."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def remove(self, start: int, end: int) -> None:
        """Takes [start, end) out, as far as it is in."""
        if start >= end:
            return
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        if first >= last:
            return
        left = [(self._starts[first], start)] if self._starts[first] < start else []
        right = [(end, self._ends[last - 1])] if self._ends[last - 1] > end else []
        self._starts[first:last] = [low for low, _ in left + right]
        self._ends[first:last] = [high for _, high in left + right]

    def gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of [start, end) that are not in the set, ascending."""
        index = bisect_right(self._ends, start)
        while start < end and index < len(self._starts) and self._starts[index] < end:
            if start < self._starts[index]:
                yield start, self._starts[index]
            start = self._ends[index]
            index += 1
        if start < end:
            yield start, end

    def meets(self, start: int, end: int) -> bool:
        """Whether some address of [start, end) is in the set."""
        index = bisect_right(self._ends, start)
        return start < end and index < len(self._starts) and self._starts[index] < end
