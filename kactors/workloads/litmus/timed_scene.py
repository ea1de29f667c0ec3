"""What the scenes for runs in time share that are about one PMD: two threads, whose moments are drawn."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from kactors.syscalls import UserThread
from kactors.workloads.options import Configured, Options

OptionsT = TypeVar("OptionsT", bound=Options)


class TimedScene(Configured[OptionsT]):
    """Two threads and the range of one PMD.

    Attributes:
        area: where the range begins.
    """

    unit: ClassVar[str] = "stores"

    def __init__(self, options: OptionsT) -> None:
        super().__init__(options)
        self.area = 0

    def workers(self, cpus: int) -> int:
        """Return 2."""
        del cpus
        return 2

    async def map_range(self, thread: UserThread) -> None:
        """Map an area in which a whole PMD range lies, wherever it begins."""
        size = thread.cpu.machine.pmd_size
        mapped = await thread.mmap(2 * size)
        self.area = -(-mapped // size) * size
