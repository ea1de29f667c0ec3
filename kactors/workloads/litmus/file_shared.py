"""Two stores to one page of a shared file area, and its munmap, which flushes under the PTE lock."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.file_scene import FileScene
from kactors.workloads.litmus.scene import store


class FileShared(FileScene):
    """CPU 0 stores and unmaps the page, whose dirty bit has to be seen first; CPU 1 stores meanwhile.

    The file's page becomes dirty under its lock, before or after munmap takes the entry away; the second store is done
    or ends in SIGSEGV.
    """

    name: ClassVar[str] = "file-shared"
    shared: ClassVar[bool] = True

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Leave the first page untouched."""
        del workers
        await self.map_file(thread)

    async def cpu0(self, thread: UserThread) -> None:
        """Store, then unmap."""
        await store(thread, "r0", self.area)
        await thread.munmap(self.area, thread.page_size)

    async def cpu1(self, thread: UserThread) -> None:
        """Store."""
        await store(thread, "r1", self.area)
