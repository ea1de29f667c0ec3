"""A fault reads the bounds of an area while mprotect splits it (D1, C6, H2), as swap readahead did."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store


class SplitBounds(Scene):
    """mprotect cuts the first page off the area, so that what began at it begins behind it now, or is another area.

    CPU 1 stores to the second page: whatever bounds it has seen, this stays permitted.
    """

    name: ClassVar[str] = "split-bounds"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Leave the first pages untouched."""
        del workers
        await self.map_table(thread)

    async def cpu0(self, thread: UserThread) -> None:
        """Protect the first page alone."""
        await thread.mprotect(self.area, thread.page_size, writable=False)

    async def cpu1(self, thread: UserThread) -> None:
        """Store to the second page."""
        await store(thread, "r1", self.area + thread.page_size)
