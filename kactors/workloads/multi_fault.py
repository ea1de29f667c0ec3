"""multi-fault, KAMEZAWA Hiroyuki's test: threads that fault in the same pages again and again.

No writer of mmap_sem after the start: MADV_DONTNEED holds it for reading. Source: the program in his mail of 6 January
2010 (20100106160614.ff756f82.kamezawa.hiroyu@jp.fujitsu.com, on linux-mm), which the RFC of 2014 measured with: a
barrier, all threads touch, a barrier, the first thread drops what all have touched, a barrier. He had it so that the
zone's lock would not decide. In the program of 6 November 2009 (20091106122344.51118116, the same list) each thread
drops its own pages, and there is no barrier; that is ``drop = own``. Each thread touches 2 MiB; the sparse 8 MiB a
thread keep the parts off each other's page tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from kactors.barrier import Barrier
from kactors.options import Bytes, Threads, Times
from kactors.syscalls import UserThread
from kactors.workloads.mapping import mapped
from kactors.workloads.options import Configured, Options
from kactors.workloads.touching import touch_pages
from protocols.machine import Machine

FAULT_BYTES = 2 << 20
MMAP_BYTES = 8 << 20
DROP_TEXT = "first: the first thread drops all pages, between barriers; own: each its own, and no barrier (2009)"
PHASE_TEXT = "with drop = own each thread begins anywhere in its round, or at 0"


class MultiFaultOptions(Options):
    """The program has one argument, the number of threads; its lengths are constants."""

    t: Threads | None = Field(None, description="threads; one a CPU by default")
    drop: Literal["first", "own"] = Field("first", description=DROP_TEXT)
    phase: Literal["drawn", "zero"] = Field("drawn", description=PHASE_TEXT)
    mmap_length: Bytes = Field(MMAP_BYTES, description="bytes that each thread has")
    fault_length: Bytes = Field(FAULT_BYTES, description="bytes of them that it touches")
    rounds: Times | None = Field(None, description="rounds of the loop; for ever by default")


class MultiFault(Configured[MultiFaultOptions]):
    """multi-fault: all threads touch, the first drops what they have touched, and so on; a page is a fault."""

    options_type = MultiFaultOptions
    name: ClassVar[str] = "multi-fault"
    unit: ClassVar[str] = "faults"
    pinned: ClassVar[bool] = True

    def __init__(self, options: MultiFaultOptions) -> None:
        super().__init__(options)
        self._areas: list[int] = []
        self._begun: list[int] = []
        self._barrier: Barrier | None = None

    @classmethod
    def endless(cls, options: Mapping[str, Any]) -> bool:
        """Unless the rounds are counted; the program runs for 60 s."""
        return options.get("rounds") is None

    def workers(self, cpus: int) -> int:
        """Return the option t, or a thread a CPU."""
        return self._options.t or cpus

    @property
    def _length(self) -> int:
        return min(self._options.fault_length, self._options.mmap_length)

    def round_records(self, machine: Machine) -> int:
        """Return the pages that a thread touches before any is dropped."""
        return -(-self._length // machine.page_size)

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map what all threads have: one area; or, of the older program, an area each, which become one."""
        step = -(-self._options.mmap_length // thread.page_size) * thread.page_size
        if self._options.drop == "first":
            start = await mapped(thread, step * workers)
            self._areas = [start + step * number for number in range(workers)]
            self._barrier = thread.barrier(workers)
            return
        for number in range(1, workers + 1):
            self._areas.append(await mapped(thread, step))
            self._begun.append(await self._begin(thread, number) if self._options.phase == "drawn" else 0)

    async def _begin(self, thread: UserThread, number: int) -> int:
        """Draw where in its round a thread begins; the pages below are there at once. Return bytes."""
        offset = thread.pick(f"phase.{number}", self.round_records(thread.cpu.machine) + 1) * thread.page_size
        return offset if await thread.begin_with_pages(self._areas[-1], offset) else 0

    async def work(self, thread: UserThread) -> None:
        """Touch; drop, or have it dropped."""
        done = 0
        while done != self._options.rounds:
            if self._barrier is None:
                await self._touch_and_drop(thread)
            else:
                await self._round(thread, self._barrier)
            done += 1

    async def _touch_and_drop(self, thread: UserThread) -> None:
        """The rest of the round that was begun, or all of one."""
        begun, self._begun[thread.number - 1] = self._begun[thread.number - 1], 0
        await self._touch(thread, begun)
        await thread.madvise_dontneed(self._areas[thread.number - 1], self._length)

    async def _round(self, thread: UserThread, barrier: Barrier) -> None:
        """All touch, the first drops."""
        await thread.wait_at(barrier)
        await self._touch(thread, 0)
        await thread.wait_at(barrier)
        if thread.number == 1:
            for area in self._areas:
                await thread.madvise_dontneed(area, self._length)
        await thread.wait_at(barrier)

    async def _touch(self, thread: UserThread, offset: int) -> None:
        """Write a byte to every page from ``offset``, bytes, on."""
        area = self._areas[thread.number - 1]
        for address in range(area + offset, area + self._length, thread.page_size):
            await touch_pages(thread, address, thread.page_size)
            thread.record_done()
