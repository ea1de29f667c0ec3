"""Pages in a CPU's hands: the per-CPU list of the zone, and a page on its way from the allocator into a page table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """A page allocated, and zeroed or copied, for one fault.

    Attributes:
        pfn: its frame.
        address: the address that faulted.
        zeroing_ns: what clearing it, or copying another one into it, cost.
    """

    pfn: int
    address: int
    zeroing_ns: int


class PageList:
    """The per-CPU list (pcp): last in, first out, because a page just freed is warm in the cache.

    Args:
        high: at this many pages a batch goes back to the zone.
        batch: how many move at a time.
    """

    def __init__(self, high: int, batch: int) -> None:
        self._high, self._batch = high, batch
        self._pfns: list[int] = []

    def __len__(self) -> int:
        return len(self._pfns)

    @property
    def batch(self) -> int:
        """How many pages move between the list and the zone at a time."""
        return self._batch

    def take(self) -> int | None:
        """Return the warmest page, or None when the list is empty."""
        return self._pfns.pop() if self._pfns else None

    def put(self, pfn: int) -> None:
        """Put a freed page on top."""
        self._pfns.append(pfn)

    def refill(self, pfns: tuple[int, ...]) -> None:
        """Add pages from the zone, so that the lowest address is taken first."""
        self._pfns.extend(reversed(pfns))

    def overflow(self) -> tuple[int, ...]:
        """Take out the coldest batch when the list has reached ``high``."""
        if len(self._pfns) < self._high or not self._pfns:
            return ()
        cold = tuple(self._pfns[: self._batch])
        del self._pfns[: self._batch]
        return cold

    def drain(self) -> tuple[int, ...]:
        """Take out everything."""
        pfns = tuple(self._pfns)
        self._pfns.clear()
        return pfns
