"""munmap of an area with its page table against a fault in it (D3, C8): the table is freed."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class MunmapTable(Scene):
    """A walker with irqs off holds the flush up that comes before the table is freed; one with irqs on does not."""

    name: ClassVar[str] = "munmap-table"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map the range of one page table, one page of it touched."""
        del workers
        await self.map_table(thread)

    async def cpu0(self, thread: UserThread) -> None:
        """Unmap all of it."""
        await thread.munmap(self.area, thread.cpu.machine.pmd_size)

    async def cpu1(self, thread: UserThread) -> None:
        """Store to an untouched page of it."""
        await store(thread, "r1", self.area)
