"""What all tests of will-it-scale have in common: tasks that loop, each on what is its own, and count iterations.

Source: main.c and tests/*.c of antonblanchard/will-it-scale. Its -s (how many seconds to sample) has no counterpart:
a run's length is its ``until``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from kactors.options import Bytes, Threads, Times
from kactors.syscalls import UserThread
from kactors.workloads.options import Configured, Options
from protocols.machine import Machine

MEMSIZE_BYTES = 128 * 1024 * 1024
"""MEMSIZE of the tests that map an area."""


class TaskOptions(Options):
    """The program's flags by their letters, and what the model adds to them."""

    t: Threads | None = Field(None, description="tasks; one a CPU by default (the program: 1)")
    m: bool = Field(False, description="tasks fill the SMT threads in turn, else the cores first")
    mode: Literal["threads", "processes"] = Field("threads", description="tasks: threads of one process, or processes")
    rounds: Times | None = Field(None, description="rounds of the loop; for ever by default")


class AreaOptions(TaskOptions):
    """Of a test that maps an area."""

    memsize: Bytes = Field(MEMSIZE_BYTES, description="bytes of the area (the program's MEMSIZE)")


class WillItScale(Configured[TaskOptions]):
    """A test: derive, and write down one round of its loop."""

    options_type: ClassVar[type[TaskOptions]] = TaskOptions
    unit: ClassVar[str] = "iterations"
    pinned: ClassVar[bool] = True

    @classmethod
    def endless(cls, options: Mapping[str, Any]) -> bool:
        """Unless the rounds are counted."""
        return options.get("rounds") is None

    def workers(self, cpus: int) -> int:
        """Return -t, or a task a CPU."""
        return self._options.t or cpus

    def home(self, number: int, machine: Machine) -> int:
        """Without -m task i is bound to core i, so that the second thread of a core comes after the first of all."""
        return machine.cpu_of(number - 1, "adjacent" if self._options.m else "cores")

    def process(self, number: int) -> int:
        """With mode = processes each task is one of its own, forked by the main thread."""
        return number if self._options.mode == "processes" else 0

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Prepare the one process that there is; of several, each prepares itself."""
        if self._options.mode == "threads":
            await self.prepare(thread, range(1, workers + 1))

    async def prepare(self, thread: UserThread, tasks: Iterable[int]) -> None:
        """What a process has before its tasks begin to loop."""

    async def work(self, thread: UserThread) -> None:
        """Loop for ever, or for so many rounds."""
        if self._options.mode == "processes":
            await self.prepare(thread, (thread.number,))
        await self.loop(thread)

    async def loop(self, thread: UserThread) -> None:
        """What the program calls the test case."""
        done = 0
        while done != self._options.rounds:
            await self.one_round(thread)
            done += 1

    @abstractmethod
    async def one_round(self, thread: UserThread) -> None:
        """Do the body of the test's loop once, and count its iterations."""
