"""The page_fault tests: map an area, write one byte a page, unmap it; a page is an iteration."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Literal, cast

from pydantic import Field

from kactors.syscalls import UserThread
from kactors.workloads.touching import TOUCH_NS
from kactors.workloads.will_it_scale.task import AreaOptions, TaskOptions, WillItScale
from protocols.machine import Machine


class FaultOptions(AreaOptions):
    """Where in its round a task begins."""

    phase: Literal["drawn", "zero"] = Field("drawn", description="each task begins anywhere in its round, or at 0")


class AreaFaults(WillItScale):
    """A page_fault test: derive, and say what is mapped.

    A round is 32768 faults and one munmap of all of it, which is longer than most runs. Tasks that began together would
    munmap together, or never within the run, so each begins at a page drawn for it, and the pages below are there
    already (``begin_with_pages``). Drawn uniformly over pages, the beginnings are those of a run that has gone on for
    long but for one thing: no task begins inside its munmap. Until the first munmaps end, the rate is too high by a
    munmap's share of a round at most; warm-up removal takes that away.
    """

    options_type: ClassVar[type[FaultOptions]] = FaultOptions

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self._begun: dict[int, tuple[int, int]] = {}
        self._empty = 0

    @property
    def drawn(self) -> bool:
        """Whether tasks begin anywhere in their round."""
        return cast(FaultOptions, self._options).phase == "drawn"

    @property
    def memsize(self) -> int:
        """Bytes of each task's area."""
        return cast(FaultOptions, self._options).memsize

    def round_records(self, machine: Machine) -> int:
        """Return the pages of an area."""
        return -(-self.memsize // machine.page_size)

    async def prepare(self, thread: UserThread, tasks: Iterable[int]) -> None:
        """Map each task's first area and draw its phase."""
        if self.drawn:
            for number in tasks:
                self._begun[number] = await self._begin(thread, number)

    async def _begin(self, thread: UserThread, number: int) -> tuple[int, int]:
        """Map a task's first area, with the pages below its phase there at once; return (area, phase), bytes."""
        area = await self.map_area(thread, number)
        offset = thread.pick(f"phase.{number}", -(-self.memsize // thread.page_size) + 1) * thread.page_size
        if not await self.begin_with(thread, number, area, offset):
            self._empty, offset = self._empty + 1, 0
        return area, offset

    async def loop(self, thread: UserThread) -> None:
        """The rest of the round that was begun; then as usual."""
        if self.drawn:
            area, offset = self._begun[thread.number]
            await self._finish_round(thread, area, offset)
        await super().loop(thread)

    async def one_round(self, thread: UserThread) -> None:
        """Map, touch every page, unmap."""
        await self._finish_round(thread, await self.map_area(thread, thread.number), 0)

    async def _finish_round(self, thread: UserThread, area: int, offset: int) -> None:
        """Write one byte of every page from ``offset``, bytes, to the area's end; unmap it."""
        for address in range(area + offset, area + self.memsize, thread.page_size):
            await thread.touch(address)
            await thread.compute(TOUCH_NS)
            thread.record_done()
        await thread.munmap(area, self.memsize)

    @abstractmethod
    async def map_area(self, thread: UserThread, task: int) -> int:
        """Map the area of a task, by its number; return its address."""

    async def begin_with(self, thread: UserThread, task: int, area: int, offset: int) -> bool:
        """Populate the pages of a task's area below ``offset``, bytes, at no cost; False: too little memory."""
        del task
        return await thread.begin_with_pages(area, offset)

    def notes(self) -> list[str]:
        """Tell of tasks that began at 0 though another phase was drawn."""
        return [f"tasks that began with an empty area for want of memory: {self._empty}"] if self._empty else []
