"""Programs on few pages as data: what Hypothesis draws, shrinks and prints, and what a reader can copy into a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from kactors.syscalls import UserThread
from kactors.workloads.program import Program

BASE = 0x7E00_0000_0000
"""Where page 0 is: at the beginning of a PMD's range on every machine."""

Name = Literal["load", "store", "mmap", "munmap", "protect", "unprotect", "dontneed"]
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a thread.

    Attributes:
        name: ``load``, ``store``, ``mmap``, ``munmap``, ``protect`` (mprotect, read-only), ``unprotect``, ``dontneed``.
        first: the first page that it is about; of an access the only one.
        pages: how many pages.
    """

    name: Name
    first: int
    pages: int = 1

    def __repr__(self) -> str:
        """As one writes it."""
        return f"Call({self.name!r}, {self.first}{f', {self.pages}' if self.pages > 1 else ''})"


class PageProgram(Program):
    """A thread for each sequence of calls. The main thread maps all pages and touches the one behind them.

    A register ``tT.N`` says what the access that is call N (from 0) of thread T (from 1) came to: True, or False for
    SIGSEGV.

    Args:
        threads: the calls of each thread.
        pages: how many pages there are.
    """

    name: ClassVar[str] = "page-program"
    at_once: ClassVar[bool] = True

    def __init__(self, threads: Sequence[Sequence[Call]], pages: int = 2) -> None:
        super().__init__(())
        self.threads = tuple(tuple(calls) for calls in threads)
        self.pages = pages

    def __repr__(self) -> str:
        """As one writes it."""
        return f"PageProgram({[list(calls) for calls in self.threads]}, pages={self.pages})"

    def __eq__(self, other: object) -> bool:
        """The same calls on the same pages."""
        return isinstance(other, PageProgram) and (self.threads, self.pages) == (other.threads, other.pages)

    def __hash__(self) -> int:
        return hash((self.threads, self.pages))

    def workers(self, cpus: int) -> int:
        """Return the number of threads."""
        del cpus
        return len(self.threads)

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Map the pages and one more, and touch that: its page table and anon_vma exist, so speculation is possible."""
        del workers
        size = thread.page_size
        await thread.mmap((self.pages + 1) * size, address=BASE)
        await thread.touch(BASE + self.pages * size)

    async def work(self, thread: UserThread) -> None:
        """Make the thread's calls."""
        for number, call in enumerate(self.threads[thread.number - 1]):
            address, length = BASE + call.first * thread.page_size, call.pages * thread.page_size
            match call.name:
                case "load" | "store":
                    done = await thread.touch(address, write=call.name == "store")
                    thread.note(f"t{thread.number}.{number}", done)
                case "mmap":
                    await thread.mmap(length, address=address)
                case "munmap":
                    await thread.munmap(address, length)
                case "protect" | "unprotect":
                    await thread.mprotect(address, length, writable=call.name == "unprotect")
                case "dontneed":
                    await thread.madvise_dontneed(address, length)
