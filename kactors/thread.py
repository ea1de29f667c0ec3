"""A thread, as the CPUs know it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from kactors.engine.event import Event
from kactors.execution import Task

Program = Callable[[], Coroutine[Any, Any, None]]


class Thread(Task):
    """One thread of a process.

    Attributes:
        number: the workload's number of the thread.
        mm: its process's address space; None: a kernel thread, which runs on whatever is loaded.
        mm_users: how many threads its process had when it was started.
        at_exit: what it does last, killed or not; None: nothing.
        cpu: the CPU that it is on, or was on before it fell asleep.
        here: what its code knows that CPU by, if the thread may move to another one.
        asleep: waits off the CPU.
        slept_at_ns: since when; -1 while it is awake.
        sleeps_from: what tells the sched domain that it sleeps, once the CPU has switched; it may have been told since.
        early_wake: a wake-up that overtook the order to sleep.
        stops_at: the timer that ends its long computation, while that can be cut.
        resume_with: what its coroutine is sent when it runs next.
    """

    __slots__ = (
        "asleep",
        "at_exit",
        "cpu",
        "early_wake",
        "here",
        "mm",
        "mm_users",
        "number",
        "program",
        "resume_with",
        "sleeps_from",
        "slept_at_ns",
        "stops_at",
    )

    def __init__(self, number: int, program: Program, mm: Any, at_exit: Program | None = None) -> None:
        super().__init__(number + 1, f"thread {number}")
        self.number = number
        self.program = program
        self.mm = mm
        self.mm_users = 1
        self.at_exit = at_exit
        self.cpu: Any = None
        self.here: Any = None
        self.asleep = False
        self.slept_at_ns = -1
        self.sleeps_from: Event | None = None
        self.early_wake: Event | None = None
        self.resume_with: Any = None
        self.stops_at: Event | None = None


IDLE = Task(0, "idle")
