"""What a loop over pages does: one byte a page, in ascending order."""

from __future__ import annotations

from kactors.syscalls import UserThread

TOUCH_NS = 5
"""User code a page: the store and the loop around it. Assumed: about 15 instructions."""


async def touch_pages(thread: UserThread, start: int, size: int) -> None:
    """Write one byte of every page of [start, start + size), bytes.

    What a huge page's translation reaches needs no further walk: the stores there are time only.
    """
    page, address, end = thread.page_size, start, start + size
    while address < end:
        await thread.touch(address)
        pages = -(-(min(thread.translated_to(address), end) - address) // page)
        await thread.compute(TOUCH_NS * pages)
        address += pages * page
