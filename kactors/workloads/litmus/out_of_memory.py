"""Memory runs out in the middle of a speculation (G3, C11): reclaim, the OOM killer, references let go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene, store

FILLED = 221
"""Pages touched beforehand: of 256 in a MiB, 32 are below the min watermark."""


class OutOfMemory(Scene):
    """Nothing is left above the min watermark: two faults reclaim in vain, and one of them calls the OOM killer.

    A killed thread gives back what its fault holds: the reference on the VMA, locks, and its place among speculations.
    """

    name: ClassVar[str] = "out-of-memory"
    costs: ClassVar[Mapping[str, int]] = {"memory_mib": 1, "page_cache_mib": 0, "pcp_batch": 1, "pcp_high": 6}

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Use all memory up but what one more page takes."""
        del workers
        await self.map_table(thread)
        for number in range(FILLED):
            await thread.touch(self.area + (2 + number) * thread.page_size)

    async def cpu0(self, thread: UserThread) -> None:
        """Store to an untouched page."""
        await store(thread, "r0", self.area)

    async def cpu1(self, thread: UserThread) -> None:
        """Store to another one."""
        await store(thread, "r1", self.area + thread.page_size)
