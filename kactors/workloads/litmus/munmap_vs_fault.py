"""munmap against faults on other pages of the table, or on the table itself: a scene for runs in time."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from kactors.syscalls import UserThread
from kactors.workloads.litmus.timed_scene import TimedScene
from kactors.workloads.options import Options


class MunmapVsFaultOptions(Options):
    """``pages``: what the one thread touches; ``tables``: unmap whole page tables, faults included.

    ``spread_ns``: how far apart the two threads start.
    """

    pages: Annotated[int, Field(ge=1, le=200)] = 6
    tables: bool = False
    spread_ns: Annotated[int, Field(ge=1, le=1_000_000_000_000)] = 12_000


class MunmapVsFault(TimedScene[MunmapVsFaultOptions]):
    """One thread unmaps while another faults in the same page table.

    Without ``tables`` they use different pages, so every fault must succeed. With it the faults race with the end of
    the area and of its page table: a touch that comes too late ends in SIGSEGV.
    """

    options_type = MunmapVsFaultOptions
    name: ClassVar[str] = "munmap-vs-fault"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map a whole PMD range and touch as many pages, above those that will fault."""
        del workers
        await self.map_range(thread)
        for number in range(self._options.pages):
            await thread.touch(self.area + (self._options.pages + number) * thread.page_size)

    async def work(self, thread: UserThread) -> None:
        """Thread 1 unmaps, thread 2 faults."""
        options, page = self._options, thread.page_size
        await thread.compute(thread.pick("meet", options.spread_ns))
        if thread.number == 1:
            if options.tables:
                await thread.munmap(self.area, thread.cpu.machine.pmd_size)
            else:
                await thread.munmap(self.area + options.pages * page, options.pages * page)
            return
        for number in range(options.pages):
            if await thread.touch(self.area + number * page):
                thread.record_done()
