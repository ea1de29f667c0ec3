"""ebizzy 0.3, as LTP has it: threads that map, touch and unmap copies of chunks (workloads.md).

Its random number generator is dead (the state starts at 0 and is only multiplied): the chunk is always number 0, and
with -R the copy is always 8 bytes. So ``-mTRp`` is {mmap one page, one fault, munmap} for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from kactors.syscalls import UserThread
from kactors.workloads.options import Configured, Options
from kactors.workloads.touching import touch_pages

CHUNK_BYTES = 512 * 1024
DEAD_RANDOM_BYTES = 8
USER_NS_PER_RECORD = 150
"""User code of one record besides its faults: assumed from the recordings' untraced gaps of a few hundred ns."""


class EbizzyOptions(Options):
    """ebizzy's flags by their letters, and what each means."""

    m: bool = True
    """Always use mmap for a copy (else malloc: the same mmap here, because copies are above the threshold)."""
    M: bool = False
    """Never use mmap: copies stay in the heap, so that no area changes after the first round."""
    T: bool = True
    """Touch one byte a page of the copy, no memcpy and no search."""
    R: bool = True
    """Random copy size: with the dead generator always 8 bytes."""
    p: bool = True
    """mprotect every even chunk to PROT_READ after writing it."""
    P: bool = False
    """The same with holes: every even chunk is unmapped after writing it."""
    n: Annotated[int, Field(ge=1)] = 10
    """Number of chunks."""
    s: Annotated[int, Field(ge=1)] = CHUNK_BYTES
    """Size of a chunk, bytes."""
    t: Annotated[int, Field(ge=1)] | None = None
    """Threads; twice the CPUs by default."""
    H: bool = False
    """MADV_HUGEPAGE for chunks and copies, as a private build of the series' author: his run had copies of 128 MiB."""


class Ebizzy(Configured[EbizzyOptions]):
    """The benchmark of the review mail's tables."""

    options_type = EbizzyOptions
    name: ClassVar[str] = "ebizzy"

    @classmethod
    def endless(cls, options: Mapping[str, Any]) -> bool:
        """Always: -S, how many seconds, is the run's ``until``."""
        del options
        return True

    def workers(self, cpus: int) -> int:
        """Return -t, or twice the CPUs."""
        return self._options.t or 2 * cpus

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map and write all chunks, then protect or drop every even one."""
        del workers
        options = self._options
        chunks = [await self._mmap(thread, options.s) for _ in range(options.n)]
        for chunk in chunks:
            await touch_pages(thread, chunk, options.s)
        for chunk in chunks[::2]:
            if options.P:
                await thread.munmap(chunk, options.s)
            elif options.p:
                await thread.mprotect(chunk, options.s, writable=False)

    async def work(self, thread: UserThread) -> None:
        """Copy chunk 0 for ever: map, touch (or copy and search), unmap."""
        options = self._options
        size = DEAD_RANDOM_BYTES if options.R else options.s
        heap = await self._mmap(thread, size) if options.M else 0
        while True:
            copy = heap or await self._mmap(thread, size)
            await touch_pages(thread, copy, size)
            # -T leaves out memcpy and the binary search: about one pass over the bytes each
            await thread.compute(USER_NS_PER_RECORD if options.T else USER_NS_PER_RECORD + size // 4)
            if not heap:
                await thread.munmap(copy, size)
            thread.record_done()

    async def _mmap(self, thread: UserThread, size: int) -> int:
        area = await thread.mmap(size)
        if self._options.H:
            await thread.madvise_hugepage(area, size)
        return area
