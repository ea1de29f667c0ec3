"""page_fault tests on files: each task has a temporary file of its own, unlinked, that ftruncate made as long."""

from __future__ import annotations

from typing import ClassVar, cast

from pydantic import Field

from kactors.syscalls import UserThread
from kactors.workloads.mapping import mapped
from kactors.workloads.will_it_scale.task import TaskOptions
from kactors.workloads.will_it_scale.touching import AreaFaults, FaultOptions
from protocols.page_cache import Filesystem
from protocols.vma import MappedFile


class FileOptions(FaultOptions):
    """Where the files lie."""

    fs: Filesystem = Field(Filesystem.TMPFS, description="of /tmp, where the files are (the program does not say)")


class FileFaults(AreaFaults):
    """A page_fault test on a file: derive, and say how it is mapped.

    A task's first round fills its file, page by page; all others find it in the page cache. A task that begins in the
    middle of a round begins with a filled file.

    Attributes:
        shared: MAP_SHARED, else MAP_PRIVATE.
    """

    options_type: ClassVar[type[FileOptions]] = FileOptions
    shared: ClassVar[bool]

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self._files: dict[int, MappedFile] = {}
        self._holes: set[int] = set()

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Make the tasks' files (in the program each task makes its own, before it is let go), then as others do."""
        filesystem = cast(FileOptions, self._options).fs
        for number in range(1, workers + 1):
            file = await thread.open_file(filesystem)
            self._files[number] = MappedFile(file=file, offset=0, shared=self.shared)
            if self.drawn and not await thread.begin_with_file(file, self.memsize):
                self._holes.add(number)
        await super().set_up(thread, workers)

    def begins_filled(self, task: int) -> bool:
        """Whether a task's file has had all its pages from the beginning."""
        return self.drawn and task not in self._holes

    def file(self, task: int) -> int:
        """Return the number of a task's file."""
        return self._files[task].file

    async def map_area(self, thread: UserThread, task: int) -> int:
        """Map the task's file."""
        return await mapped(thread, self.memsize, self._files[task])

    def notes(self) -> list[str]:
        """Tell of files that are filled in the run."""
        holes = [f"tasks whose files began as holes for want of memory: {len(self._holes)}"] if self._holes else []
        return [*holes, *super().notes()]
