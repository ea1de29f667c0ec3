"""The run queue of one CPU: the threads that are there, and how they come from other CPUs and go to them."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, Self, cast

from kactors.engine.engine import Engine
from kactors.engine.event import Event
from kactors.execution import Directory
from kactors.switch_mm import MmSwitcher
from kactors.thread import IDLE, Thread
from protocols.base import Message
from protocols.scheduling import (
    LEFT_CPU,
    MOVE_TASK,
    NEWLY_IDLE,
    NOHZ_KICK,
    TASK_ENDS,
    TASK_RUNS,
    TASK_SLEEPS,
    KeepsTask,
    LeftCpu,
    MoveTask,
    PlaceTask,
    PushTask,
    TaskMoves,
    TtwuQueue,
)

AVG_IDLE_WEIGHT = 8
"""update_avg: the newest idle time counts an eighth."""


class RunQueue(MmSwitcher):
    """A CPU with threads. Where the scenario lets them move, it tells the sched domain of all that run here.

    Attributes:
        threads: those that are here, by tag, the sleeping ones too.
    """

    def __init__(self, engine: Engine, name: str, cpu_id: int, directory: Directory) -> None:
        super().__init__(engine, name, cpu_id, directory)
        self.current = IDLE
        self.threads: dict[int, Thread] = {}
        self._run_queue: deque[Thread] = deque()
        self._avg_idle_ns = 2 * self.machine.migration_cost_ns

    def migration_handlers(self) -> dict[type[Message], Callable[[Event], None]]:
        """Return the handlers of threads that come and go."""
        return {TtwuQueue: self._ttwu_queue, PushTask: self._push, MoveTask: self._moved, LeftCpu: self._left}

    def add_thread(self, thread: Thread) -> None:
        """Make a thread known; it runs once StartThread names it."""
        thread.cpu = self
        self.threads[thread.tag] = thread

    def seen_by_thread(self) -> Self:
        """Return what a thread that may move knows its CPU by: an object whose attributes are this CPU's own.

        A thread's suspended code holds it in many places; when the thread moves, it is given the new CPU's attributes.
        """
        here = object.__new__(type(self))
        here.__dict__ = self.__dict__
        return here

    @abstractmethod
    def make_runnable(self, thread: Thread, at_ns: int) -> None:
        """Queue a thread of this CPU."""

    @abstractmethod
    def wake(self, thread: Thread, event: Event) -> None:
        """A sleeping thread of this CPU goes on."""

    @abstractmethod
    def is_going_idle(self, thread: Thread, at_ns: int) -> bool:
        """Whether this CPU is still switching from the thread to its idle task, and does nothing else by then."""

    @abstractmethod
    def stay_awake(self, thread: Thread, event: Event) -> None:
        """A thread that is about to sleep goes on instead."""

    def node(self, tag: int) -> str:
        """Return the name of the CPU that a thread is on, else the thread's, wherever it has moved."""
        cpu = getattr(self.directory.threads.get(tag), "cpu", self)
        return cpu.name if cpu.current.tag == tag else f"thread {tag - 1} (asleep, {cpu.name})"

    def tick_after(self, at_ns: int) -> int:
        """Return the first timer tick at or after an instant: only there the end of a slice is noticed."""
        tick_ns = self.machine.tick_ns
        return -(-at_ns // tick_ns) * tick_ns if tick_ns else at_ns

    # --- what the sched domain has to know ---------------------------------------------------------------------------

    def _tell(self, message: Message, at_ns: int, tag: int = 0) -> None:
        domain = self.directory.sched_domain
        if domain is not None:
            self.engine.post(at_ns, domain, self, message, tag)

    def tell_runs(self, thread: Thread, at_ns: int) -> None:
        """A thread begins its life here."""
        self._tell(TASK_RUNS, at_ns, thread.tag)

    def tell_sleeps(self, thread: Thread) -> None:
        """From the local clock on, when the CPU has switched, a thread sleeps and may be woken elsewhere."""
        domain = self.directory.sched_domain
        if domain is not None:
            thread.sleeps_from = self.engine.post(self.clock_ns, domain, self, TASK_SLEEPS, thread.tag)

    def tell_wakes(self, thread: Thread, at_ns: int) -> None:
        """A thread wakes up where it slept; if the CPU has not switched yet, it has not slept."""
        if thread.sleeps_from is not None and thread.sleeps_from[0] > at_ns:
            self.engine.cancel(thread.sleeps_from)
        else:
            self._tell(TASK_RUNS, at_ns, thread.tag)
        thread.sleeps_from = None

    def tell_ends(self, thread: Thread) -> None:
        """At the local clock a thread has ended."""
        if self.directory.sched_domain is not None:
            self.say(self.directory.sched_domain, TASK_ENDS, thread.tag)

    def kick_balancer(self, at_ns: int) -> None:
        """nohz_balancer_kick: at the tick threads wait here that an idle CPU might run."""
        self._tell(NOHZ_KICK, at_ns)

    def newidle_balance(self) -> None:
        """Look for work elsewhere, unless this CPU's idle times are too short for a thread's move to pay.

        A CPU whose last thread has fallen asleep still counts it at this moment, and takes nothing: no CPU of the
        recordings did.
        """
        if self.directory.sched_domain is not None and self._avg_idle_ns >= self.machine.migration_cost_ns:
            self.say(self.directory.sched_domain, NEWLY_IDLE)

    def was_idle_for(self, ns: int) -> None:
        """Remember how long this CPU is idle on average."""
        average_ns = self._avg_idle_ns + (ns - self._avg_idle_ns) // AVG_IDLE_WEIGHT
        self._avg_idle_ns = min(average_ns, 2 * self.machine.migration_cost_ns)

    # --- coming and going --------------------------------------------------------------------------------------------

    def place(self, thread: Thread, event: Event) -> bool:
        """Have the sched domain choose a CPU for a thread that ``event`` wakes; False: there is none, it wakes here."""
        domain = self.directory.sched_domain
        if domain is None or thread.here is None:
            return False
        waker: Any = event[2]
        self.engine.post(event[0], domain, self, PlaceTask(waker=getattr(waker, "cpu_id", -1)), thread.tag)
        return True

    def _ttwu_queue(self, event: Event) -> None:
        """A waker has chosen this CPU for a sleeper."""
        thread = self.directory.threads[event[3]]
        if thread.cpu is not self:
            self._adopt(thread)
        if not thread.asleep:
            thread.early_wake = event
        elif self.is_going_idle(thread, event[0]):
            self.stay_awake(thread, event)
        else:
            if not cast(TtwuQueue, event[4]).counted:
                self.tell_wakes(thread, event[0])
            self.wake(thread, event)

    def _push(self, event: Event) -> None:
        """An idle CPU takes a thread that waits here, the one that has waited longest."""
        cpu = cast(PushTask, event[4]).cpu
        thread = next((thread for thread in self._run_queue if thread.here is not None), None)
        if thread is None:
            self._tell(KeepsTask(cpu=cpu), event[0])
            return
        self._run_queue.remove(thread)
        self._tell(TaskMoves(cpu=cpu), event[0], thread.tag)
        self.engine.post(event[0], self.directory.cpus[cpu], self, MOVE_TASK, thread.tag)

    def _moved(self, event: Event) -> None:
        thread = self.directory.threads[event[3]]
        self._adopt(thread)
        self.make_runnable(thread, event[0])

    def _left(self, event: Event) -> None:
        if self.threads[event[3]].cpu is not self:
            del self.threads[event[3]]

    def _adopt(self, thread: Thread) -> None:
        """set_task_cpu: a thread that was elsewhere is here from now on."""
        self.engine.post(self.engine.now_ns, thread.cpu, self, LEFT_CPU, thread.tag)
        thread.cpu = self
        thread.here.__dict__ = self.__dict__
        self.threads[thread.tag] = thread
        self.learn_users(thread.mm.number, max(thread.mm_users, self.users_of(thread.mm.number)))
