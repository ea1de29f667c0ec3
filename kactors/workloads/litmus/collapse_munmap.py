"""khugepaged against a munmap that frees the page table (E0, E2, D3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene


class CollapseMunmap(Scene):
    """What khugepaged has chosen may be gone by the time it has mmap_sem, and its page table freed."""

    name: ClassVar[str] = "collapse-munmap"
    threads: ClassVar[int] = 1

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map a range for khugepaged, its last page touched."""
        del workers
        await self.map_table(thread)
        await thread.madvise_hugepage(self.area, thread.cpu.machine.pmd_size)

    async def cpu0(self, thread: UserThread) -> None:
        """Unmap all of it."""
        await thread.munmap(self.area, thread.cpu.machine.pmd_size)

    def collapses(self) -> Sequence[int]:
        """Return the area."""
        return (self.area,)
