"""munmap cuts the end off an area while a fault there is under way (D1, D3, C6, C15, H2)."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class MunmapTail(Scene):
    """What is left of the area keeps its VMA: it is in the tree, nobody writes it, and it ends before the address."""

    name: ClassVar[str] = "munmap-tail"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map three pages and touch the first; the last stays untouched."""
        del workers
        self.area = await thread.mmap(3 * thread.page_size)
        await thread.touch(self.area)

    async def cpu0(self, thread: UserThread) -> None:
        """Unmap the last page."""
        await thread.munmap(self.area + 2 * thread.page_size, thread.page_size)

    async def cpu1(self, thread: UserThread) -> None:
        """Store to it."""
        await store(thread, "r1", self.area + 2 * thread.page_size)
