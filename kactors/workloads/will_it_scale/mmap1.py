"""mmap1: an area that nobody touches."""

from __future__ import annotations

from typing import ClassVar, cast

from kactors.syscalls import UserThread
from kactors.workloads.mapping import mapped
from kactors.workloads.will_it_scale.task import AreaOptions, WillItScale


class Mmap1(WillItScale):
    """will-it-scale mmap1: map an anonymous area and unmap it, untouched; an iteration is such a pair."""

    options_type = AreaOptions
    name: ClassVar[str] = "mmap1"

    async def one_round(self, thread: UserThread) -> None:
        """Map and unmap."""
        memsize = cast(AreaOptions, self._options).memsize
        area = await mapped(thread, memsize)
        await thread.munmap(area, memsize)
        thread.record_done()
