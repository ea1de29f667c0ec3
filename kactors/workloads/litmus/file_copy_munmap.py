"""munmap of a page of a private file area against the store that copies it."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.file_scene import FileScene
from kactors.workloads.litmus.scene import store


class FileCopyMunmap(FileScene):
    """The file's page is mapped for reading; CPU 1 copies it while CPU 0 unmaps it: the copy is mapped, or freed.

    The store is done or ends in SIGSEGV; the file's page stays, with neither entry nor reference too many.
    """

    name: ClassVar[str] = "file-copy-munmap"
    shared: ClassVar[bool] = False

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map the first page for reading; another page keeps the table."""
        del workers
        await self.map_file(thread)
        await thread.touch(self.area, write=False)

    async def cpu0(self, thread: UserThread) -> None:
        """Unmap the first page."""
        await thread.munmap(self.area, thread.page_size)

    async def cpu1(self, thread: UserThread) -> None:
        """Store to it."""
        await store(thread, "r1", self.area)
