"""MADV_DONTNEED against a fault on the same page (D5): under mmap_sem as a reader, the area stays."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class DontneedFault(Scene):
    """The page is touched, and CPU 0 may have it in its TLB: it is flushed there before it is freed.

    CPU 0 stores again after it has dropped the page; CPU 1 stores meanwhile. Every store succeeds, and what is stored
    after the drop is there.
    """

    name: ClassVar[str] = "dontneed-fault"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Touch the first page."""
        del workers
        await self.map_table(thread)
        await thread.touch(self.area)

    async def cpu0(self, thread: UserThread) -> None:
        """Drop the page, then store to it."""
        await thread.madvise_dontneed(self.area, thread.page_size)
        await store(thread, "r0", self.area)

    async def cpu1(self, thread: UserThread) -> None:
        """Store to the page."""
        await store(thread, "r1", self.area)
