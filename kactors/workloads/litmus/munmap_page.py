"""munmap of one page against a fault on it (D3, C12.iv): the page table stays."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class MunmapPage(Scene):
    """The page is untouched, so munmap has nothing to flush: no CPU is interrupted, irqs off hold nothing up.

    What keeps a late fault out is the VMA: detached, or cut off before the page. The store is done or ends in SIGSEGV.
    """

    name: ClassVar[str] = "munmap-page"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Leave the first page untouched; another page keeps the table."""
        del workers
        await self.map_table(thread)

    async def cpu0(self, thread: UserThread) -> None:
        """Unmap the first page."""
        await thread.munmap(self.area, thread.page_size)

    async def cpu1(self, thread: UserThread) -> None:
        """Store to it."""
        await store(thread, "r1", self.area)
