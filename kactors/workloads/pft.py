"""pft, the page fault test: one big mapping, of which each thread touches its own part once.

Source: mmtests' pft driver, which runs ``pft -m SIZE -t THREADS`` (-n instead of -t: processes). One VMA and no
writer: how far readers scale.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kactors.options import Bytes, Threads
from kactors.syscalls import UserThread
from kactors.workloads.mapping import mapped
from kactors.workloads.options import Configured, Options
from kactors.workloads.touching import touch_pages

MEMORY_SHARE = 5
"""The mapping is a fifth of the machine's memory, as in the published runs, unless -m says otherwise."""


class PftOptions(Options):
    """pft's flags by their letters."""

    m: Bytes | None = Field(None, description="bytes of the mapping; memory / 5 by default")
    t: Threads | None = Field(None, description="threads; one a CPU by default")


class Pft(Configured[PftOptions]):
    """pft: one mapping, each thread writes a byte to every page of its part, and ends; a page is a fault."""

    options_type = PftOptions
    name: ClassVar[str] = "pft"
    unit: ClassVar[str] = "faults"

    def __init__(self, options: PftOptions) -> None:
        super().__init__(options)
        self._start = self._pages = self._workers = 0

    def workers(self, cpus: int) -> int:
        """Return -t, or a thread a CPU."""
        return self._options.t or cpus

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map it."""
        size = self._options.m or (thread.cpu.machine.memory_mib << 20) // MEMORY_SHARE
        self._pages, self._workers = -(-size // thread.page_size), workers
        self._start = await mapped(thread, size)

    async def work(self, thread: UserThread) -> None:
        """Touch one's part, which is as large as the others' to a page."""
        first, last = (self._pages * part // self._workers for part in (thread.number - 1, thread.number))
        page = thread.page_size
        for address in range(self._start + first * page, self._start + last * page, page):
            await touch_pages(thread, address, page)
            thread.record_done()
