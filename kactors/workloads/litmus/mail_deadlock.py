"""The review mail's deadlock: munmap flushes under the PTE lock that a speculation wants with irqs off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class MailDeadlock(Scene):
    """munmap's batch holds one page, so that it is full, and flushed, before the PTE lock is dropped.

    CPU 1 stores to another page of the table. If it spins for the lock while it takes no IPI, neither gets any further.
    """

    name: ClassVar[str] = "mail-deadlock"
    costs: ClassVar[Mapping[str, int]] = {"mmu_gather_pages": 1}

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Touch the first page; the second stays untouched."""
        del workers
        await self.map_table(thread)
        await thread.touch(self.area)

    async def cpu0(self, thread: UserThread) -> None:
        """Unmap the first page."""
        await thread.munmap(self.area, thread.page_size)

    async def cpu1(self, thread: UserThread) -> None:
        """Store to the second."""
        await store(thread, "r1", self.area + thread.page_size)
