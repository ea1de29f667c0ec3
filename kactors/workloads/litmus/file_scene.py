"""What the litmus scenes on files share: an area of a file that was in the page cache before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.litmus.scene import Scene
from protocols.page_cache import Filesystem
from protocols.vma import MappedFile


class FileScene(Scene):
    """One page table's range of a file on ext4; a read fault maps its own page only.

    Attributes:
        shared: MAP_SHARED, else MAP_PRIVATE.
    """

    shared: ClassVar[bool]
    costs: ClassVar[Mapping[str, int]] = {"fault_around_bytes": 4096}

    async def map_file(self, thread: UserThread) -> None:
        """Map it and write its last page: there is a table then, and an anon_vma where one is wanted."""
        size = thread.cpu.machine.pmd_size
        file = await thread.open_file(Filesystem.EXT4, cached=True)
        self.area = await thread.mmap(size, file=MappedFile(file=file, offset=0, shared=self.shared))
        await thread.touch(self.area + size - thread.page_size)
