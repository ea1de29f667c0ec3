"""context_switch1: a byte goes to and fro between a task and its child, through two pipes."""

from __future__ import annotations

from typing import ClassVar

from kactors.pipe import Pipe
from kactors.syscalls import UserThread
from kactors.workloads.will_it_scale.task import TaskOptions, WillItScale
from protocols.machine import Machine


class ContextSwitch1(WillItScale):
    """will-it-scale context_switch1: ping-pong over pipes with a child on the same CPU; a way there and a way back.

    The child inherits the task's affinity, a core. On one that has SMT threads the scheduler might put it beside its
    parent; here both stay on one CPU, so that each way is a context switch, as the test's name has it.
    """

    name: ClassVar[str] = "context_switch1"

    def __init__(self, options: TaskOptions) -> None:
        super().__init__(options)
        self._tasks = 0
        self._pipes: dict[int, tuple[Pipe, Pipe]] = {}

    def children(self, workers: int) -> int:
        """One a task (new_task, which forks in process mode), numbered after all tasks."""
        self._tasks = workers
        return workers

    def home(self, number: int, machine: Machine) -> int:
        """A child is at home where its task is."""
        return super().home(number - self._tasks if number > self._tasks else number, machine)

    async def work(self, thread: UserThread) -> None:
        """A task makes its pipes and its child, plays, and closes its pipe; the child plays until then."""
        if thread.number > self._tasks:
            await self._child(thread, *self._pipes[thread.number - self._tasks])
            return
        there, _ = self._pipes[thread.number] = (thread.pipe(), thread.pipe())
        thread.start(thread.number + self._tasks)
        await super().work(thread)
        await thread.close_pipe(there)

    async def one_round(self, thread: UserThread) -> None:
        """Write to one pipe, read from the other."""
        there, back = self._pipes[thread.number]
        await thread.write_pipe(there)
        await thread.read_pipe(back)
        thread.record_done()
        thread.record_done()

    async def _child(self, thread: UserThread, there: Pipe, back: Pipe) -> None:
        while await thread.read_pipe(there):
            await thread.write_pipe(back)
