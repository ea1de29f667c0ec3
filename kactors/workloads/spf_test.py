"""spf_test, Suren Baghdasaryan's: threads that each map a few areas and touch the pages of each, once.

Source: spf_test.c of surenbaghdasaryan/spf_test; the options are its three arguments, by its variables' names.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from kactors.options import Threads, Times
from kactors.syscalls import UserThread
from kactors.workloads.mapping import mapped
from kactors.workloads.options import Configured, Options
from kactors.workloads.touching import touch_pages


class SpfTestOptions(Options):
    """Its arguments and their defaults."""

    thread_cnt: Threads = Field(100, description="threads")
    vma_cnt: Times = Field(2, description="areas that each thread maps")
    page_cnt: Times = Field(10, description="pages of an area, all of them touched")


class SpfTest(Configured[SpfTestOptions]):
    """spf_test: each thread maps its areas and touches their pages, and ends; a thread is a thread's time."""

    options_type = SpfTestOptions
    name: ClassVar[str] = "spf-test"
    unit: ClassVar[str] = "threads"

    def __init__(self, options: SpfTestOptions) -> None:
        super().__init__(options)
        self._durations_ns: list[int] = []

    def workers(self, cpus: int) -> int:
        """Return thread_cnt."""
        del cpus
        return self._options.thread_cnt

    async def work(self, thread: UserThread) -> None:
        """Map and touch one area after the other; take the time, as clock_gettime would."""
        options = self._options
        began_ns = thread.cpu.clock_ns
        length = options.page_cnt * thread.page_size
        for _ in range(options.vma_cnt):
            await touch_pages(thread, await mapped(thread, length), length)
        self._durations_ns.append(thread.cpu.clock_ns - began_ns)
        thread.record_done()

    def notes(self) -> list[str]:
        """Tell what the program prints: the sum of the threads' times and their mean."""
        ended = len(self._durations_ns)
        if not ended:
            return []
        total_ns = sum(self._durations_ns)
        return [f"threads' own time: total {total_ns} ns, average {total_ns // ended} ns of the {ended} that ended"]
