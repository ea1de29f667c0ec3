"""Threads whose faults lack page tables rather than pages: a fresh area, one page of each PMD range touched, unmapped.

No benchmark: what a sparse heap or a hash table in fresh memory does at its beginning, for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from kactors.options import Threads, Times
from kactors.syscalls import UserThread
from kactors.workloads.mapping import mapped
from kactors.workloads.options import Configured, Options


class SparseOptions(Options):
    """How much each thread maps."""

    pmds: Times = Field(16, description="PMD ranges of an area, a page of each is touched")
    t: Threads | None = Field(None, description="threads; one a CPU by default")


class Sparse(Configured[SparseOptions]):
    """Map an area, store to one page of each PMD range, unmap it; a record is such a round."""

    options_type = SparseOptions
    name: ClassVar[str] = "sparse"

    @classmethod
    def endless(cls, options: Mapping[str, Any]) -> bool:
        """Always."""
        del options
        return True

    def workers(self, cpus: int) -> int:
        """Return the option t, or a thread a CPU."""
        return self._options.t or cpus

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Keep a touched page: areas merge with it, so they have an anon_vma."""
        del workers
        await thread.touch(await mapped(thread, thread.page_size))

    async def work(self, thread: UserThread) -> None:
        """Go round for ever."""
        size = thread.cpu.machine.pmd_size
        length = self._options.pmds * size
        while True:
            area = await mapped(thread, length)
            for address in range(area, area + length, size):
                await thread.touch(address)
            await thread.munmap(area, length)
            thread.record_done()
