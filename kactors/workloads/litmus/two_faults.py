"""Two faults on one address (A8, A10, C11 to C13): both bring a page, one page stays."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class TwoFaults(Scene):
    """Both CPUs store to the same untouched page. A10 and C13 see to it that both stores go to one frame."""

    name: ClassVar[str] = "two-faults"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Leave the first page untouched, beside one that has its table."""
        del workers
        await self.map_table(thread)

    async def cpu0(self, thread: UserThread) -> None:
        """Store."""
        await store(thread, "r0", self.area)

    async def cpu1(self, thread: UserThread) -> None:
        """Store."""
        await store(thread, "r1", self.area)
