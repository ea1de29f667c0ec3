"""What the litmus scenes share: few threads on few pages, one thing each that may go wrong between them."""

from __future__ import annotations

from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.options import Configured, Options

SIGSEGV = "SIGSEGV"
"""What a register holds of an access that was not allowed."""


class NoOptions(Options):
    """A scene is what it is."""


class Scene(Configured[NoOptions]):
    """A program small enough that a search can go through every interleaving of it; it runs in time as well.

    Worker 1 runs ``cpu0`` on CPU 0, where the main thread has set up: what that has touched may be in its TLB. Worker 2
    runs ``cpu1`` on CPU 1. Registers r0 and r1 say what the accesses of CPU 0 and CPU 1 came to.

    Attributes:
        threads: how many workers.
        area: where the main thread has mapped what the scene is about.
    """

    options_type = NoOptions
    unit: ClassVar[str] = "accesses"
    threads: ClassVar[int] = 2

    def __init__(self, options: NoOptions) -> None:
        super().__init__(options)
        self.area = 0

    def workers(self, cpus: int) -> int:
        """Return the scene's own number of threads."""
        del cpus
        return self.threads

    async def work(self, thread: UserThread) -> None:
        """Run the part of the thread's CPU."""
        await (self.cpu0 if thread.number == 1 else self.cpu1)(thread)

    async def cpu0(self, thread: UserThread) -> None:
        """What worker 1 does."""

    async def cpu1(self, thread: UserThread) -> None:
        """What worker 2 does."""

    async def map_table(self, thread: UserThread) -> None:
        """Map all that one page table covers, and touch its last page: there is a table then, and an anon_vma.

        The first area of a process ends where a page table's range does.
        """
        size = thread.cpu.machine.pmd_size
        self.area = await thread.mmap(size)
        await thread.touch(self.area + size - thread.page_size)


async def store(thread: UserThread, register: str, address: int) -> None:
    """Store to an address and note what that came to: ``stored`` or SIGSEGV."""
    thread.note(register, "stored" if await thread.touch(address) else SIGSEGV)
    thread.record_done()


async def load(thread: UserThread, register: str, address: int) -> None:
    """Load from an address and note what that came to: ``loaded`` or SIGSEGV."""
    thread.note(register, "loaded" if await thread.touch(address, write=False) else SIGSEGV)
    thread.record_done()
