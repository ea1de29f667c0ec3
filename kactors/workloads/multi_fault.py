"""multi-fault, KAMEZAWA Hiroyuki's test of January 2010: threads that fault and drop the same pages again and again.

No writer of mmap_sem after the start: MADV_DONTNEED holds it for reading. The lengths are those of his reports (each
thread touches 2 MiB); the sparse 8 MiB a thread keep the parts off each other's page tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from kactors.syscalls import UserThread
from kactors.workloads.options import Configured, Options
from kactors.workloads.touching import touch_pages

FAULT_BYTES = 2 << 20
MMAP_BYTES = 8 << 20


class MultiFaultOptions(Options):
    """The program has one argument, the number of threads; its lengths are constants."""

    t: Annotated[int, Field(ge=1)] | None = Field(None, description="threads; one a CPU by default")
    mmap_length: Annotated[int, Field(ge=1)] = Field(MMAP_BYTES, description="bytes that each thread maps")
    fault_length: Annotated[int, Field(ge=1)] = Field(FAULT_BYTES, description="bytes that it touches and drops")
    rounds: Annotated[int, Field(ge=1)] | None = Field(None, description="rounds of the loop; for ever by default")


class MultiFault(Configured[MultiFaultOptions]):
    """multi-fault: each thread touches its area, drops it with MADV_DONTNEED, repeats; a page is a fault."""

    options_type = MultiFaultOptions
    name: ClassVar[str] = "multi-fault"
    unit: ClassVar[str] = "faults"

    @classmethod
    def endless(cls, options: Mapping[str, Any]) -> bool:
        """Unless the rounds are counted; the program runs for 60 s."""
        return options.get("rounds") is None

    def workers(self, cpus: int) -> int:
        """Return the option t, or a thread a CPU."""
        return self._options.t or cpus

    async def work(self, thread: UserThread) -> None:
        """Map once, then touch and drop."""
        options = self._options
        length = min(options.fault_length, options.mmap_length)
        area = await thread.mmap(options.mmap_length)
        done = 0
        while done != options.rounds:
            for address in range(area, area + length, thread.page_size):
                await touch_pages(thread, address, thread.page_size)
                thread.record_done()
            await thread.madvise_dontneed(area, length)
            done += 1
