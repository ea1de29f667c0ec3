"""mprotect to read-only against a fault that wants to write (D4, C2, C7, C12)."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class MprotectFault(Scene):
    """Once mprotect has returned no store succeeds, whatever flags the fault has read before."""

    name: ClassVar[str] = "mprotect-fault"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Leave the first page untouched."""
        del workers
        await self.map_table(thread)

    async def cpu0(self, thread: UserThread) -> None:
        """Take the permission to write away."""
        await thread.mprotect(self.area, thread.cpu.machine.pmd_size, writable=False)

    async def cpu1(self, thread: UserThread) -> None:
        """Store."""
        await store(thread, "r1", self.area)
