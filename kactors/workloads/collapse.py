"""Threads that touch and drop a madvised area while khugepaged collapses it."""

from __future__ import annotations

from typing import ClassVar

from kactors.options import Nanoseconds, Threads, Times
from kactors.syscalls import UserThread
from kactors.workloads.mapping import mapped
from kactors.workloads.options import Configured, Options


class CollapseOptions(Options):
    """PMD ranges in the area, passes of each thread, and one pass in how many (``dontneed``) drops its pages."""

    pmds: Times = 4
    rounds: Times = 4
    dontneed: Times = 2
    compute_ns: Nanoseconds = 500
    t: Threads | None = None


class Collapse(Configured[CollapseOptions]):
    """What the khugepaged recording's program does: each thread works on its own share of one MADV_HUGEPAGE area."""

    options_type = CollapseOptions
    name: ClassVar[str] = "collapse"
    unit: ClassVar[str] = "passes"

    def __init__(self, options: CollapseOptions) -> None:
        super().__init__(options)
        self._start = 0
        self._workers = 0

    def workers(self, cpus: int) -> int:
        """Return the option t, or a thread a CPU."""
        return self._options.t or cpus

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map the area and mark it MADV_HUGEPAGE."""
        self._workers = workers
        size = thread.cpu.machine.pmd_size
        length = (self._options.pmds + 1) * size
        area = await mapped(thread, length)
        self._start = -(-area // size) * size
        await thread.madvise_hugepage(self._start, self._options.pmds * size)

    async def work(self, thread: UserThread) -> None:
        """Touch every page of the own share, again and again; now and then give the pages back."""
        options = self._options
        size = thread.cpu.machine.pmd_size
        for number in range(options.rounds):
            for pmd in range(thread.number - 1, options.pmds, self._workers):
                base = self._start + pmd * size
                for address in range(base, base + size, thread.page_size):
                    await thread.touch(address)
                    await thread.compute(options.compute_ns)
                if (number + 1) % options.dontneed == 0:
                    await thread.madvise_dontneed(base, size)
            thread.record_done()
