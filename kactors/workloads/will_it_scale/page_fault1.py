"""page_fault1: anonymous memory."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.mapping import mapped
from kactors.workloads.will_it_scale.touching import AreaFaults


class PageFault1(AreaFaults):
    """will-it-scale page_fault1: map an anonymous area, write a byte a page, unmap it; an iteration is a page."""

    name: ClassVar[str] = "page_fault1"

    async def map_area(self, thread: UserThread, task: int) -> int:
        """Private and anonymous."""
        del task
        return await mapped(thread, self.memsize)
