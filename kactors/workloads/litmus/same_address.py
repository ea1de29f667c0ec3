"""Any number of threads fault on one address: how many pages does that take? A scene for runs in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.options import Threads
from kactors.syscalls import UserThread
from kactors.workloads.options import Configured, Options


class SameAddressOptions(Options):
    """How many threads fault on the one address."""

    t: Threads | None = None


class SameAddress(Configured[SameAddressOptions]):
    """All threads write to one untouched page at one moment: how many pages are allocated for it?

    The barrier is exact, so that the faults overlap as much as they can: threads spin at it, and none has to come out
    of an idle CPU first. The area has a history: its anon_vma and its page table exist, so speculation is possible.
    """

    options_type = SameAddressOptions
    name: ClassVar[str] = "same-address"
    unit: ClassVar[str] = "stores"
    at_once: ClassVar[bool] = True
    costs: ClassVar[Mapping[str, int]] = {"idle_exit_ns": 0, "idle_poll_exit_ns": 0}
    interchangeable: ClassVar[bool] = True

    def __init__(self, options: SameAddressOptions) -> None:
        super().__init__(options)
        self._page = 0

    def workers(self, cpus: int) -> int:
        """Return the option t, or a thread a CPU."""
        return self._options.t or cpus

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map two pages and touch the other one."""
        del workers
        self._page = await thread.mmap(2 * thread.page_size)
        await thread.touch(self._page + thread.page_size)

    async def work(self, thread: UserThread) -> None:
        """Store to the page."""
        await thread.touch(self._page)
        thread.record_done()
