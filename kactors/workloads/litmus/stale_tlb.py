"""munmap of a page that another CPU has in its TLB (D3, F1 to F4)."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class StaleTlb(Scene):
    """CPU 0 stores without a fault as long as its TLB holds the page; the page is not freed before that has ended."""

    name: ClassVar[str] = "stale-tlb"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Touch the first page, on CPU 0."""
        del workers
        await self.map_table(thread)
        await thread.touch(self.area)

    async def cpu0(self, thread: UserThread) -> None:
        """Store through the TLB, or fault."""
        await store(thread, "r0", self.area)

    async def cpu1(self, thread: UserThread) -> None:
        """Unmap the page."""
        await thread.munmap(self.area, thread.page_size)
