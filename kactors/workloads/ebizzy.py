"""ebizzy 0.3, as LTP has it: threads that map, touch and unmap copies of chunks (workloads.md).

Its random number generator is dead (the state starts at 0 and is only multiplied): the chunk is always number 0, and
with -R the copy is always 8 bytes. So ``-mTRp`` is {mmap one page, one fault, munmap} for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from kactors.options import Bytes, Threads, Times
from kactors.syscalls import UserThread
from kactors.workloads.mapping import mapped
from kactors.workloads.options import Configured, Options
from kactors.workloads.touching import touch_pages

CHUNK_BYTES = 512 * 1024
DEAD_RANDOM_BYTES = 8
USER_NS_PER_RECORD = 150
"""User code of one record besides its faults: assumed from the recordings' untraced gaps of a few hundred ns."""
RECORD_BYTES = 8
SEARCH_STEP_NS = 50
"""A call of bsearch's compare: assumed, half of the records that it looks at are in no cache."""
CHUNK_HEADER_BYTES = 16
"""glibc's header in front of a block that malloc gives."""


class Block(NamedTuple):
    """What a chunk or a copy lies in.

    Attributes:
        start: its first byte.
        area: where what was mapped for it begins.
        length: bytes mapped.
    """

    start: int
    area: int
    length: int


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
    n: Times = 10
    """Number of chunks."""
    s: Bytes = CHUNK_BYTES
    """Size of a chunk, bytes."""
    t: Threads | None = None
    """Threads; twice the CPUs by default."""
    H: bool = False
    """MADV_HUGEPAGE for chunks and copies, aligned to huge pages, as a private build of the series' author may do it.

    His run had copies of 128 MiB, so 64 huge pages, and 65.9 faults a record. 1.8 of them were speculative, so small:
    taken for posix_memalign's, which maps one huge page more and writes two headers in front of what it gives.
    """


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
        chunks = [await self._allocate(thread, options.s) for _ in range(options.n)]
        for chunk in chunks:
            await touch_pages(thread, chunk.start, options.s)
        for chunk in chunks[::2]:
            if options.P:
                await thread.munmap(chunk.area, chunk.length)
            elif options.p:
                await thread.mprotect(chunk.start, options.s, writable=False)

    async def work(self, thread: UserThread) -> None:
        """Copy chunk 0 for ever: map, touch (or copy and search), unmap."""
        options = self._options
        size = DEAD_RANDOM_BYTES if options.R else options.s
        heap = await self._allocate(thread, size) if options.M else None
        while True:
            copy = heap or await self._allocate(thread, size)
            await (touch_pages if options.T else _copy_and_search)(thread, copy.start, size)
            await thread.compute(USER_NS_PER_RECORD)
            if heap is None:
                await thread.munmap(copy.area, copy.length)
            thread.record_done()

    async def _allocate(self, thread: UserThread, size: int) -> Block:
        if self._options.H:
            return await _aligned(thread, size)
        area = await mapped(thread, size)
        return Block(area, area, size)


async def _copy_and_search(thread: UserThread, copy: int, size: int) -> None:
    """memcpy, which faults its way through the copy; bsearch, which finds that the first record is the key."""
    block = thread.cpu.machine.pmd_size
    for first in range(0, size, block):
        length = min(block, size - first)
        await touch_pages(thread, copy + first, length)
        await thread.copy(length)
    await thread.compute(SEARCH_STEP_NS * (size // RECORD_BYTES).bit_length())


async def _aligned(thread: UserThread, size: int) -> Block:
    """posix_memalign: of a longer area, what begins with a huge page; a header at its beginning, and one in front."""
    huge = thread.cpu.machine.pmd_size
    length = size + huge + CHUNK_HEADER_BYTES
    area = await mapped(thread, length)
    start = -(-(area + CHUNK_HEADER_BYTES) // huge) * huge
    await thread.touch(area)
    await thread.touch(start - CHUNK_HEADER_BYTES)
    await thread.madvise_hugepage(start, size)
    return Block(start, area, length)
