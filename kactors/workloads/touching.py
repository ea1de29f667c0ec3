"""What a loop over pages does: one byte a page, in ascending order."""

from __future__ import annotations

from kactors.syscalls import UserThread

TOUCH_NS = 5
"""User code a page: the store and the loop around it. Assumed: about 15 instructions."""


async def touch_pages(thread: UserThread, start: int, size: int) -> None:
    """Write one byte of every page of [start, start + size), bytes."""
    for address in range(start, start + size, thread.page_size):
        await thread.touch(address)
        await thread.compute(TOUCH_NS)
