"""A binary buddy over page frame numbers: who is free, in which block, and what merges with what.

Source: `mm/page_alloc.c` (`__rmqueue_smallest`, `expand`, `__free_one_page`), from general knowledge. One difference:
the kernel's free lists are LIFO, here the lowest address of an order goes first, so that the answer depends on nothing
but the set of free blocks. Migrate types and zones are not modelled; a caller makes one `Buddy` a zone.

Memory follows use, not size. Max-order blocks that nobody has touched are a range (two ints); a touched one is an
"arena": a bytearray with one mark a page, dropped again when the block has merged back to max order.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

MAX_ORDER_LIMIT = 20
"""Bound on `max_order`: an arena takes 2**max_order bytes, 1 MiB at this bound (the kernel's own default is 10)."""

_STALE_SLACK = 64
"""How many dead entries a heap may hold beyond one for each live block before it is rebuilt."""

# Marks in an arena: 2 * order + 1 where an allocated block of that order starts, 2 * order + 2 where a free one starts,
# _NO_START everywhere else. Written out in place: a call would cost a tenth of `alloc`. Odd and even keep the states
# apart for any int, so that one comparison in `free` refuses negative and oversized orders too.
_NO_START = 0


class Buddy:
    """A binary buddy allocator over the page frames 0..pages-1; `pages` need not be a power of two.

    Deterministic: equal sequences of calls give equal answers. Units: every count is in base pages of the machine, an
    order `k` block is 2**k pages aligned to 2**k. Not an actor and not thread safe: the allocator actor owns it.

    Args:
        pages: number of page frames, 0 or more.
        max_order: largest block kept, 0..20. The kernel's is 10 (4 KiB pages), 8 on ppc64 with 64 KiB pages.

    Raises:
        ValueError: `pages` is negative, or `max_order` is outside 0..20.
    """

    __slots__ = ("_arenas", "_counts", "_free_pages", "_fresh", "_fresh_end", "_heaps", "_mask", "_max_order", "_pages")

    def __init__(self, pages: int, *, max_order: int = 10) -> None:
        if pages < 0:
            raise ValueError(f"pages must be 0 or more, not {pages}")
        if not 0 <= max_order <= MAX_ORDER_LIMIT:
            raise ValueError(f"max_order must be in 0..{MAX_ORDER_LIMIT}, not {max_order}")
        self._pages = pages
        self._max_order = max_order
        self._mask = (1 << max_order) - 1  # offset of a page within its max-order block
        self._free_pages = pages
        # Untouched max-order blocks: [_fresh, _fresh_end). They are handed out lowest first and only when the max-order
        # heap is empty, so every pfn in that heap is below _fresh and "heap, then range" is the address order.
        self._fresh = 0
        self._fresh_end = pages >> max_order << max_order
        # Per order: a heap of pfns that holds every free block at least once, and perhaps pfns that no longer start a
        # free block of that order (merging leaves them behind). The arena's mark decides; _counts has the live number.
        self._heaps: list[list[int]] = [[] for _ in range(max_order + 1)]
        self._counts = [0] * max_order + [pages >> max_order]
        self._arenas: dict[int, bytearray] = {}
        if self._fresh_end < pages:
            self._add_tail()

    def _add_tail(self) -> None:
        """Put the frames above the last whole max-order block on the free lists, largest block first."""
        pfn = self._fresh_end
        tail = self._pages - pfn
        arena = self._arenas[pfn >> self._max_order] = bytearray(1 << self._max_order)
        for order in reversed(range(self._max_order)):
            if tail & (1 << order):
                arena[pfn & self._mask] = 2 * order + 2
                self._counts[order] = 1
                self._heaps[order].append(pfn)
                pfn += 1 << order

    @property
    def pages(self) -> int:
        """Number of page frames managed, free or not."""
        return self._pages

    @property
    def max_order(self) -> int:
        """Order of the largest block."""
        return self._max_order

    @property
    def free_pages(self) -> int:
        """Number of free page frames, in base pages, over all orders."""
        return self._free_pages

    def alloc(self, order: int) -> int | None:
        """Take one block of 2**order pages and return its first pfn, or None if no block is large enough.

        Takes the lowest pfn of the smallest sufficient order, splits it, and keeps the low half at each split. None
        changes nothing; it can be given with many pages free (fragmentation).

        Raises:
            ValueError: `order` is outside 0..max_order.
        """
        if not 0 <= order <= self._max_order:
            raise self._bad_order(order)
        counts = self._counts
        source = order
        while not counts[source]:
            if source == self._max_order:
                return None
            source += 1
        pfn = self._take_lowest(source)
        arena = self._arenas[pfn >> self._max_order]
        arena[pfn & self._mask] = 2 * order + 1
        if source != order:
            self._put_rest(arena, pfn + (1 << order), pfn + (1 << source))
        self._free_pages -= 1 << order
        return pfn

    def alloc_bulk(self, order: int, count: int) -> list[int]:
        """Take up to `count` blocks of 2**order pages: the same pfns, in the same order, as `count` calls of `alloc`.

        Shorter than `count` when the blocks run out (as the kernel's `rmqueue_bulk`); never raises for that.

        Raises:
            ValueError: `order` is outside 0..max_order, or `count` is negative.
        """
        if not 0 <= order <= self._max_order:
            raise self._bad_order(order)
        if count < 0:
            raise ValueError(f"count must be 0 or more, not {count}")
        pfns: list[int] = []
        for source in range(order, self._max_order + 1):
            # Smaller orders are exhausted here, and the rest of a split block is used up before the next block: the
            # only partly used block is the last one. So each order is visited once.
            while len(pfns) < count and self._counts[source]:
                pfns.extend(self._carve(self._take_lowest(source), source, order, count - len(pfns)))
        self._free_pages -= len(pfns) << order
        return pfns

    def free(self, pfn: int, order: int) -> None:
        """Give back the block that `alloc(order)` returned as `pfn`; it merges with its buddies as far as it can.

        Raises:
            ValueError: out of range, misaligned, the wrong order, or not allocated (double free). Nothing is changed.
        """
        max_order = self._max_order
        arena = self._arenas.get(pfn >> max_order)
        if arena is None:
            raise self._bad_free(pfn, order)
        index = pfn & self._mask
        if arena[index] != 2 * order + 1:
            raise self._bad_free(pfn, order)
        self._free_pages += 1 << order
        arena[index] = _NO_START
        base, heaps, counts = pfn - index, self._heaps, self._counts
        while order < max_order and arena[buddy := index ^ (1 << order)] == 2 * order + 2:
            arena[buddy] = _NO_START
            counts[order] -= 1
            # Cutting the last leaf keeps a heap a heap. It is the usual case (alloc, then free of the same page), so
            # such a pair leaves nothing behind; any other entry goes stale.
            if heaps[order][-1] == base + buddy:
                heaps[order].pop()
            else:
                self._trim(order)
            index &= buddy
            order += 1
        if order == max_order:
            del self._arenas[base >> max_order]
        else:
            arena[index] = 2 * order + 2
        counts[order] += 1
        heappush(heaps[order], base + index)

    def free_bulk(self, pfns: Iterable[int], order: int) -> None:
        """Give back blocks of one order, in the order given.

        Raises:
            ValueError: as `free`, at the first bad pfn; the blocks before it are free by then.
        """
        free = self.free
        for pfn in pfns:
            free(pfn, order)

    def split_allocated(self, pfn: int, order: int) -> None:
        """Turn an allocated block into single pages, which are freed one by one (`split_page`).

        Raises:
            ValueError: (pfn, order) is not an allocated block.
        """
        arena = self._arenas.get(pfn >> self._max_order)
        if arena is None or arena[pfn & self._mask] != 2 * order + 1:
            raise self._bad_free(pfn, order)
        first = pfn & self._mask
        arena[first : first + (1 << order)] = b"\x01" * (1 << order)

    def free_blocks(self, order: int) -> tuple[int, ...]:
        """Return the first pfns of the free blocks of exactly this order, ascending.

        For reports and tests: it takes time and memory in proportion to their number.

        Raises:
            ValueError: `order` is outside 0..max_order.
        """
        if not 0 <= order <= self._max_order:
            raise self._bad_order(order)
        if order < self._max_order:
            return tuple(self._live(order))
        return (*sorted(self._heaps[order]), *range(self._fresh, self._fresh_end, 1 << order))

    def buddyinfo(self) -> tuple[int, ...]:
        """Return the number of free blocks per order, index 0..max_order: a row of `/proc/buddyinfo`."""
        return tuple(self._counts)

    def _take_lowest(self, order: int) -> int:
        """Take the lowest free block of exactly this order off the list; there must be one.

        The mark at its first page is left for the caller to overwrite.
        """
        self._counts[order] -= 1
        heap = self._heaps[order]
        max_order = self._max_order
        if order == max_order:
            return self._open_arena(heap)
        arenas, free_mark = self._arenas, 2 * order + 2
        while True:
            pfn = heappop(heap)
            arena = arenas.get(pfn >> max_order)
            if arena is not None and arena[pfn & self._mask] == free_mark:
                return pfn

    def _open_arena(self, heap: list[int]) -> int:
        """Take the lowest free max-order block and give it an arena without marks. This heap has no stale entries."""
        if heap:
            pfn = heappop(heap)
        else:
            pfn = self._fresh
            self._fresh += 1 << self._max_order
        self._arenas[pfn >> self._max_order] = bytearray(1 << self._max_order)
        return pfn

    def _put_rest(self, arena: bytearray, start: int, end: int) -> None:
        """Put back [start, end), the upper part of a split block that ends at `end`.

        The lowest set bit of an address is the size of the block that may start there, and the buddy below is in use:
        these are exactly the upper halves that splitting leaves.
        """
        heaps, counts, mask = self._heaps, self._counts, self._mask
        while start < end:
            size = start & -start
            order = size.bit_length() - 1
            arena[start & mask] = 2 * order + 2
            counts[order] += 1
            heappush(heaps[order], start)
            start += size

    def _carve(self, pfn: int, source: int, order: int, count: int) -> range:
        """Cut up to `count` blocks from the low end of a block just taken, put back the rest, return their pfns."""
        arena = self._arenas[pfn >> self._max_order]
        taken = min(count, 1 << (source - order))
        end = pfn + (taken << order)
        first = pfn & self._mask
        arena[first : first + (taken << order) : 1 << order] = bytes((2 * order + 1,)) * taken
        self._put_rest(arena, end, pfn + (1 << source))
        return range(pfn, end, 1 << order)

    def _trim(self, order: int) -> None:
        """Rebuild the heap of an order when most of its entries are stale: the merges that made them pay for it."""
        heap = self._heaps[order]
        if len(heap) > 2 * self._counts[order] + _STALE_SLACK:
            heap[:] = self._live(order)  # a sorted list is a heap

    def _live(self, order: int) -> list[int]:
        """Return the free blocks of one order below max order, ascending, without stale entries and repetitions."""
        arenas, max_order, mask = self._arenas, self._max_order, self._mask
        free_mark = 2 * order + 2
        return sorted(
            pfn
            for pfn in set(self._heaps[order])
            if (arena := arenas.get(pfn >> max_order)) is not None and arena[pfn & mask] == free_mark
        )

    def _bad_order(self, order: int) -> ValueError:
        return ValueError(f"order {order} is outside 0..{self._max_order}")

    def _bad_free(self, pfn: int, order: int) -> ValueError:
        """Say why (pfn, order) cannot be freed. Only for arguments that `free` has refused."""
        what = f"free(pfn={pfn}, order={order})"
        if not 0 <= order <= self._max_order:
            return ValueError(f"{what}: {self._bad_order(order)}")
        if not 0 <= pfn < self._pages:
            return ValueError(f"{what}: pfn is outside 0..{self._pages - 1}")
        if pfn & ((1 << order) - 1):
            return ValueError(f"{what}: pfn is misaligned, a block of this order starts at a multiple of {1 << order}")
        arena = self._arenas.get(pfn >> self._max_order)
        mark = arena[pfn & self._mask] if arena is not None else _NO_START
        if mark % 2:
            return ValueError(f"{what}: wrong order, the block was allocated with order {mark // 2}")
        return ValueError(f"{what}: not the start of an allocated block (double free?)")
