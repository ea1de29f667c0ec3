"""The review mail: two CPUs, one address, one munmap, one collapse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class Mail(Scene):
    """CPU 0 unmaps the page that CPU 1 stores to, in a range that khugepaged collapses."""

    name: ClassVar[str] = "mail"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map a range for khugepaged, its last page touched."""
        del workers
        await self.map_table(thread)
        await thread.madvise_hugepage(self.area, thread.cpu.machine.pmd_size)

    async def cpu0(self, thread: UserThread) -> None:
        """Unmap the first page."""
        await thread.munmap(self.area, thread.page_size)

    async def cpu1(self, thread: UserThread) -> None:
        """Store to the first page."""
        await store(thread, "r1", self.area)

    def collapses(self) -> Sequence[int]:
        """Return the area."""
        return (self.area,)
