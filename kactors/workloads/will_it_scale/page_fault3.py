"""page_fault3: a file, shared."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.will_it_scale.files import FileFaults


class PageFault3(FileFaults):
    """will-it-scale page_fault3: map a file MAP_SHARED, write a byte a page (its file system is asked), unmap it."""

    name: ClassVar[str] = "page_fault3"
    shared: ClassVar[bool] = True

    async def begin_with(self, thread: UserThread, task: int, area: int, offset: int) -> bool:
        """The pages below are the file's own."""
        return self.begins_filled(task) and await thread.begin_with_mapping(area, offset, self.file(task))
