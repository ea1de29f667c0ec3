"""A load and a store of one untouched page (A10): the shared zero page is mapped, and replaced."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, load, store


class ZeroPage(Scene):
    """CPU 0 loads, which maps the zero page, and stores, which replaces it with a flush under the PTE lock.

    CPU 1 stores meanwhile. No CPU may go on reading the zero page after a store has returned.
    """

    name: ClassVar[str] = "zero-page"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Leave the first page untouched."""
        del workers
        await self.map_table(thread)

    async def cpu0(self, thread: UserThread) -> None:
        """Load, then store."""
        await load(thread, "r0", self.area)
        await store(thread, "r0 after", self.area)

    async def cpu1(self, thread: UserThread) -> None:
        """Store."""
        await store(thread, "r1", self.area)
