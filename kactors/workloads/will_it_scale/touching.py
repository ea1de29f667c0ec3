"""The page_fault tests: map an area, write one byte a page, unmap it; a page is an iteration."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, cast

from kactors.syscalls import UserThread
from kactors.workloads.touching import TOUCH_NS
from kactors.workloads.will_it_scale.task import AreaOptions, WillItScale


class AreaFaults(WillItScale):
    """A page_fault test: derive, and say what is mapped."""

    options_type: ClassVar[type[AreaOptions]] = AreaOptions

    @property
    def memsize(self) -> int:
        """Bytes of each task's area."""
        return cast(AreaOptions, self._options).memsize

    async def one_round(self, thread: UserThread) -> None:
        """Map, touch every page, unmap."""
        area = await self.map_area(thread)
        await self.touch_from(thread, area, 0)
        await thread.munmap(area, self.memsize)

    async def touch_from(self, thread: UserThread, area: int, offset: int) -> None:
        """Write one byte of every page from ``offset``, bytes, to the area's end."""
        for address in range(area + offset, area + self.memsize, thread.page_size):
            await thread.touch(address)
            await thread.compute(TOUCH_NS)
            thread.record_done()

    @abstractmethod
    async def map_area(self, thread: UserThread) -> int:
        """Map the task's area; return its address."""
