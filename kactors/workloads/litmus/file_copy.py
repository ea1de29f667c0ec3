"""A load and two stores of one page of a private file area: it is mapped, copied, and copied only once."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.file_scene import FileScene
from kactors.workloads.litmus.scene import load, store


class FileCopy(FileScene):
    """CPU 0 loads, which maps the file's page, and stores; CPU 1 stores meanwhile.

    Who comes second finds the page lock taken, or the PTE changed, and no CPU may go on reading the file's page after a
    store has returned.
    """

    name: ClassVar[str] = "file-copy"
    shared: ClassVar[bool] = False

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Leave the first page untouched."""
        del workers
        await self.map_file(thread)

    async def cpu0(self, thread: UserThread) -> None:
        """Load, then store."""
        await load(thread, "r0", self.area)
        await store(thread, "r0 after", self.area)

    async def cpu1(self, thread: UserThread) -> None:
        """Store."""
        await store(thread, "r1", self.area)
