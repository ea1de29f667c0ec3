"""khugepaged by its timer against faults: a scene for runs in time."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from kactors.syscalls import UserThread
from kactors.workloads.litmus.timed_scene import TimedScene
from kactors.workloads.options import Options


class CollapseVsFaultOptions(Options):
    """``pages``: what each faulting thread touches while khugepaged collapses.

    ``spread_ns``: how far apart the two threads start.
    """

    pages: Annotated[int, Field(ge=1, le=200)] = 8
    spread_ns: Annotated[int, Field(ge=1, le=1_000_000_000_000)] = 40_000


class CollapseVsFault(TimedScene[CollapseVsFaultOptions]):
    """khugepaged collapses a PMD range while a thread faults in it; every store must survive."""

    options_type = CollapseVsFaultOptions
    name: ClassVar[str] = "collapse-vs-fault"

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map a MADV_HUGEPAGE range of one PMD and touch one page of it."""
        del workers
        await self.map_range(thread)
        size = thread.cpu.machine.pmd_size
        await thread.madvise_hugepage(self.area, size)
        await thread.touch(self.area + size - thread.page_size)

    async def work(self, thread: UserThread) -> None:
        """Fault page after page around the moment at which khugepaged wakes up; read the stores back at the end."""
        options, page = self._options, thread.page_size
        wakes_ns = thread.cpu.directory.khugepaged_wakes_ns
        wait_ns = wakes_ns - options.spread_ns // 2 - thread.cpu.clock_ns
        await thread.compute(max(wait_ns, 0) + thread.pick("meet", options.spread_ns))
        mine = [self.area + (options.pages * (thread.number - 1) + number) * page for number in range(options.pages)]
        for address in mine:
            await thread.touch(address)
            thread.record_done()
        for address in mine:
            await thread.touch(address)
