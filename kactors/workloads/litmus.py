"""Small scenes, one for each hazard in the review mail: two or more threads and a moment at which they meet."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from kactors.syscalls import UserThread
from kactors.workloads.options import Configured, Options


class SameAddressOptions(Options):
    """How many threads fault on the one address."""

    t: Annotated[int, Field(ge=1)] | None = None


class SameAddress(Configured[SameAddressOptions]):
    """All threads write to one untouched page at one moment: how many pages are allocated for it?

    The barrier is exact, so that the faults overlap as much as they can. The area has a history: its anon_vma and its
    page table exist, so that speculation is possible.
    """

    options_type = SameAddressOptions
    name: ClassVar[str] = "same-address"
    unit: ClassVar[str] = "stores"
    at_once: ClassVar[bool] = True

    def __init__(self, options: SameAddressOptions) -> None:
        super().__init__(options)
        self._page = 0

    def workers(self, cpus: int) -> int:
        """Return the option t, or a thread a CPU."""
        return self._options.t or cpus

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map two pages and touch the other one."""
        del workers
        self._page = await thread.mmap(2 * thread.page_size)
        await thread.touch(self._page + thread.page_size)

    async def work(self, thread: UserThread) -> None:
        """Store to the page."""
        await thread.touch(self._page)
        thread.record_done()


class MunmapVsFaultOptions(Options):
    """``pages``: what the one thread touches; ``tables``: unmap whole page tables, faults included.

    ``spread_ns``: how far apart the two threads start.
    """

    pages: Annotated[int, Field(ge=1, le=200)] = 6
    tables: bool = False
    spread_ns: Annotated[int, Field(ge=1)] = 12_000


class MunmapVsFault(Configured[MunmapVsFaultOptions]):
    """One thread unmaps while another faults in the same page table.

    Without ``tables`` they use different pages, so every fault must succeed. With it the faults race with the end of
    the area and of its page table: a touch that comes too late ends in SIGSEGV.
    """

    options_type = MunmapVsFaultOptions
    name: ClassVar[str] = "munmap-vs-fault"
    unit: ClassVar[str] = "stores"

    def __init__(self, options: MunmapVsFaultOptions) -> None:
        super().__init__(options)
        self._area = 0

    def workers(self, cpus: int) -> int:
        """Return 2."""
        del cpus
        return 2

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map a whole PMD range and touch as many pages, above those that will fault."""
        del workers
        size = thread.cpu.machine.pmd_size
        mapped = await thread.mmap(2 * size)
        self._area = -(-mapped // size) * size
        for number in range(self._options.pages):
            await thread.touch(self._area + (self._options.pages + number) * thread.page_size)

    async def work(self, thread: UserThread) -> None:
        """Thread 1 unmaps, thread 2 faults."""
        options, page = self._options, thread.page_size
        await thread.compute(thread.pick("meet", options.spread_ns))
        if thread.number == 1:
            if options.tables:
                await thread.munmap(self._area, thread.cpu.machine.pmd_size)
            else:
                await thread.munmap(self._area + options.pages * page, options.pages * page)
            return
        for number in range(options.pages):
            if await thread.touch(self._area + number * page):
                thread.record_done()


class CollapseVsFaultOptions(Options):
    """``pages``: what each faulting thread touches while khugepaged collapses.

    ``spread_ns``: how far apart the two threads start.
    """

    pages: Annotated[int, Field(ge=1, le=200)] = 8
    spread_ns: Annotated[int, Field(ge=1)] = 40_000


class CollapseVsFault(Configured[CollapseVsFaultOptions]):
    """khugepaged collapses a PMD range while a thread faults in it; every store must survive."""

    options_type = CollapseVsFaultOptions
    name: ClassVar[str] = "collapse-vs-fault"
    unit: ClassVar[str] = "stores"

    def __init__(self, options: CollapseVsFaultOptions) -> None:
        super().__init__(options)
        self._area = 0

    def workers(self, cpus: int) -> int:
        """Return 2."""
        del cpus
        return 2

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map a MADV_HUGEPAGE range of one PMD and touch one page of it."""
        del workers
        size = thread.cpu.machine.pmd_size
        mapped = await thread.mmap(2 * size)
        self._area = -(-mapped // size) * size
        await thread.madvise_hugepage(self._area, size)
        await thread.touch(self._area + size - thread.page_size)

    async def work(self, thread: UserThread) -> None:
        """Fault page after page around the moment at which khugepaged wakes up; read the stores back at the end."""
        options, page = self._options, thread.page_size
        wakes_ns = thread.cpu.directory.khugepaged_wakes_ns
        wait_ns = wakes_ns - options.spread_ns // 2 - thread.cpu.clock_ns
        await thread.compute(max(wait_ns, 0) + thread.pick("meet", options.spread_ns))
        mine = [self._area + (options.pages * (thread.number - 1) + number) * page for number in range(options.pages)]
        for address in mine:
            await thread.touch(address)
            thread.record_done()
        for address in mine:
            await thread.touch(address)
