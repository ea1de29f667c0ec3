"""A page is write-protected and made writable again, as fork does, against a CPU with a stale TLB (F1 to F4)."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, load, store


class WriteProtect(Scene):
    """CPU 0 has written to the page: its TLB permits the next write too, until a flush takes that away.

    CPU 1 protects the page, reads it, and permits writing again. A store on CPU 0 goes through the old entry before the
    flush, ends in SIGSEGV while the page is protected, or faults and finds the same page writable again.
    """

    name: ClassVar[str] = "write-protect"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Write to the first page, on CPU 0."""
        del workers
        await self.map_table(thread)
        await thread.touch(self.area)

    async def cpu0(self, thread: UserThread) -> None:
        """Store through the TLB, or fault."""
        await store(thread, "r0", self.area)

    async def cpu1(self, thread: UserThread) -> None:
        """Protect, load, permit."""
        size = thread.cpu.machine.pmd_size
        await thread.mprotect(self.area, size, writable=False)
        await load(thread, "r1", self.area)
        await thread.mprotect(self.area, size, writable=True)
