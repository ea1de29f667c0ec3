"""khugepaged collapses a range while a fault in it is under way (E3 to E8, C8, C12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class CollapseFault(Scene):
    """Two CPUs store to two untouched pages of the range that khugepaged collapses; each store is there at the end.

    CPU 0 goes on to the page that was there before, which its TLB may still hold.
    """

    name: ClassVar[str] = "collapse-fault"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map a range for khugepaged, its last page touched."""
        del workers
        await self.map_table(thread)
        await thread.madvise_hugepage(self.area, thread.cpu.machine.pmd_size)

    async def cpu0(self, thread: UserThread) -> None:
        """Store to the page that is there, by the TLB if that still holds it."""
        await store(thread, "r0", self.area + thread.cpu.machine.pmd_size - thread.page_size)

    async def cpu1(self, thread: UserThread) -> None:
        """Store to an untouched page."""
        await store(thread, "r1", self.area)

    def collapses(self) -> Sequence[int]:
        """Return the area."""
        return (self.area,)
