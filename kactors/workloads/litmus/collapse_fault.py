"""khugepaged collapses a range while a fault in it is under way (E3 to E8, C8, C12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class CollapseFault(Scene):
    """CPU 0 stores to an untouched page of the range that khugepaged collapses; the store is there at the end.

    It goes on to the page that was there before, which its TLB may still hold while khugepaged copies it.
    """

    name: ClassVar[str] = "collapse-fault"
    threads: ClassVar[int] = 1

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map a range for khugepaged, its last page touched."""
        del workers
        await self.map_table(thread)
        await thread.madvise_hugepage(self.area, thread.cpu.machine.pmd_size)

    async def cpu0(self, thread: UserThread) -> None:
        """Fault, then store to the page that is there, by the TLB if that still holds it."""
        await store(thread, "r0", self.area)
        await store(thread, "r0 after", self.area + thread.cpu.machine.pmd_size - thread.page_size)

    def collapses(self) -> Sequence[int]:
        """Return the area."""
        return (self.area,)
