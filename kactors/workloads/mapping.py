"""Memory that a program cannot do without."""

from __future__ import annotations

from kactors.engine.errors import UsageError
from kactors.syscalls import UserThread
from protocols.vma import MappedFile


async def mapped(thread: UserThread, length: int, file: MappedFile | None = None) -> int:
    """Return where mmap has put ``length`` bytes.

    Raises:
        UsageError: there is no room for them, where the programs give up too.
    """
    start = await thread.mmap(length, file=file)
    if start < 0:
        raise UsageError(f"mmap finds no room for {length:,} bytes more in the process: ask for less of the workload")
    return start
