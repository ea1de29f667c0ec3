"""A workload made of Python functions: for tests, litmus scenarios and one's own experiments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

from kactors.engine.errors import UsageError
from kactors.syscalls import UserThread
from kactors.workloads.base import Workload

Body = Callable[[UserThread], Awaitable[None]]


class Program(Workload):
    """One coroutine function a worker, and optionally one that sets up.

    Args:
        workers: what each worker runs.
        set_up: what the main thread runs first.
    """

    name: ClassVar[str] = "program"

    def __init__(self, workers: Sequence[Body], set_up: Body | None = None) -> None:
        self._bodies = tuple(workers)
        self._set_up = set_up

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Program:
        """A program has no textual form.

        Raises:
            UsageError: always.
        """
        del options
        raise UsageError("the workload 'program' is for Python callers: pass it to run() as workload=")

    def workers(self, cpus: int) -> int:
        """Return the number of functions given."""
        del cpus
        return len(self._bodies)

    async def set_up(self, thread: UserThread, workers: int) -> None:
        """Run the set-up function."""
        del workers
        if self._set_up is not None:
            await self._set_up(thread)

    async def work(self, thread: UserThread) -> None:
        """Run the worker's function."""
        await self._bodies[thread.number - 1](thread)
