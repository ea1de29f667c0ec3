"""brk1: the heap's end, up and down. All threads of a process move the same one, as in the program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from kactors.syscalls import UserThread
from kactors.workloads.will_it_scale.task import TaskOptions, WillItScale

FIRST_HEAP_BYTES = 132 * 1024
"""What glibc's first malloc takes from the kernel: its top pad of 128 KiB and the request, in pages."""


class Brk1(WillItScale):
    """will-it-scale brk1: the heap a page longer, then as before; each of the two calls is an iteration."""

    name: ClassVar[str] = "brk1"

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self._ends: dict[int, int] = {}

    async def prepare(self, thread: UserThread, tasks: Iterable[int]) -> None:
        """There is a heap: main has called malloc for the tasks' arguments."""
        start = await thread.brk(0)
        end = await thread.brk(start + FIRST_HEAP_BYTES)
        await thread.touch(start)
        self._ends.update(dict.fromkeys(tasks, end))

    async def one_round(self, thread: UserThread) -> None:
        """Grow by a page from where sbrk(0) found the end when the test began; shrink back."""
        end = self._ends[thread.number]
        await thread.brk(end + thread.page_size)
        await thread.brk(end)
        thread.record_done()
        thread.record_done()
