"""A speculation falls back and goes on with its VMA (C15) while munmap and mmap put another in its place."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class VmaReuse(Scene):
    """The area has no anon_vma yet, so that every speculation gives up (C4) with a reference on the VMA in hand.

    By the time it holds mmap_sem the area may be gone, or another one may lie there. can_reuse_spf_vma must tell.
    """

    name: ClassVar[str] = "vma-reuse"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map one page and touch nothing."""
        del workers
        self.area = await thread.mmap(thread.page_size)

    async def cpu0(self, thread: UserThread) -> None:
        """Unmap the page and map it again, read-only."""
        await thread.munmap(self.area, thread.page_size)
        await thread.mmap(thread.page_size, address=self.area, writable=False)

    async def cpu1(self, thread: UserThread) -> None:
        """Store to it."""
        await store(thread, "r1", self.area)
