"""malloc1: a block that malloc maps, since it is above the threshold up to which free keeps blocks (32 MiB)."""

from __future__ import annotations

from typing import ClassVar, cast

from kactors.syscalls import UserThread
from kactors.workloads.mapping import mapped
from kactors.workloads.will_it_scale.task import AreaOptions, WillItScale

MALLOC_NS = 50
"""User code of malloc and free beside their system calls: assumed."""
CHUNK_HEADER_BYTES = 16
"""glibc's chunk header in front of a block: what makes malloc touch the first page, and the area a page longer."""


class Malloc1(WillItScale):
    """will-it-scale malloc1: malloc and free 128 MiB: mmap, a fault for the block's header, munmap."""

    options_type = AreaOptions
    name: ClassVar[str] = "malloc1"

    async def one_round(self, thread: UserThread) -> None:
        """Allocate: map, write the header. Free: read it, unmap."""
        length = cast(AreaOptions, self._options).memsize + CHUNK_HEADER_BYTES
        chunk = await mapped(thread, length)
        await thread.touch(chunk)
        await thread.compute(MALLOC_NS)
        await thread.touch(chunk, write=False)
        await thread.munmap(chunk, length)
        thread.record_done()
