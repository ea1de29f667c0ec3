"""The machine's sched domains: which CPU a thread that wakes up shall run on, and which idle CPU takes one that waits.

Owns: how many runnable threads each CPU has, which threads sleep and where they ran.
Hears: from CPUs what begins, sleeps, wakes up and ends there, what waits at a tick, who has nothing to do; from wakers
       whom they wake.
Says: which CPU it is; to a CPU that it shall let another one have a thread.
Never: exists in a run whose threads stay where they are; knows what a thread does.

kernel/sched/fair.c: select_task_rq_fair, nohz balancing at the tick, newidle balancing. Loads are numbers of runnable
threads. Busy CPUs do not take threads from busier ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from kactors.engine.actor import Handler, Server
from kactors.engine.engine import Engine
from protocols.base import Message
from protocols.machine import Machine
from protocols.roles import heard_by, said_by
from protocols.scheduling import (
    KeepsTask,
    NewlyIdle,
    NohzKick,
    PlaceTask,
    PushTask,
    SelectTaskRq,
    TaskEnds,
    TaskMoves,
    TaskRq,
    TaskRuns,
    TaskSleeps,
    TtwuQueue,
)

OVERLOADED = 2
"""So many runnable threads are one too many for a CPU."""


class SchedDomain(Server):
    """The actor.

    Args:
        engine: the machine's engine.
        machine: its topology.
        cpus: the CPUs, by number.
    """

    role: ClassVar[str] = "sched_domain"
    hears: ClassVar[frozenset[type[Message]]] = heard_by("sched_domain")
    says: ClassVar[frozenset[type[Message]]] = said_by("sched_domain")

    def __init__(self, engine: Engine, machine: Machine, cpus: tuple[Any, ...]) -> None:
        self._machine = machine
        self._cpus = cpus
        self._nr_running = [0] * len(cpus)
        self._cpu_of: dict[int, int] = {}
        self._asleep: set[int] = set()
        super().__init__(engine, "sched_domain")

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of what happens to threads, of wake-ups and of CPUs that look for work."""
        return {
            TaskRuns: self._runs,
            TaskSleeps: self._sleeps,
            TaskEnds: self._ends,
            SelectTaskRq: self._select,
            PlaceTask: self._place,
            NohzKick: self._kicked,
            NewlyIdle: self._newly_idle,
            TaskMoves: self._moves,
            KeepsTask: self._kept,
        }

    # --- what runs where ---------------------------------------------------------------------------------------------

    def _runs(self, _: TaskRuns, cpu: Any, tag: int) -> None:
        self._asleep.discard(tag)
        self._enqueue(tag, cpu.cpu_id)

    def _sleeps(self, _: TaskSleeps, cpu: Any, tag: int) -> None:
        self._nr_running[cpu.cpu_id] -= 1
        self._cpu_of[tag] = cpu.cpu_id
        self._asleep.add(tag)

    def _ends(self, _: TaskEnds, cpu: Any, tag: int) -> None:
        del tag
        self._nr_running[cpu.cpu_id] -= 1

    def _enqueue(self, tag: int, cpu: int) -> None:
        self._cpu_of[tag] = cpu
        self._nr_running[cpu] += 1

    # --- wake-ups ----------------------------------------------------------------------------------------------------

    def _select(self, message: SelectTaskRq, waker: Any, tag: int) -> None:
        cpu, idle, counted = self._wake(message.thread, waker.cpu_id)
        self.reply(self.engine.now_ns, waker, tag, TaskRq(cpu=cpu, idle=idle, counted=counted))

    def _place(self, message: PlaceTask, cpu: Any, tag: int) -> None:
        del cpu
        chosen, _, counted = self._wake(tag, message.waker)
        self.reply(self.engine.now_ns, self._cpus[chosen], tag, TtwuQueue(counted=counted))

    def _wake(self, tag: int, waker: int) -> tuple[int, bool, bool]:
        """Choose a CPU for a sleeper, and count it there; return the CPU, whether it was idle, and whether it counts.

        A thread that still runs, on its way to sleep, stays where it is.
        """
        previous = self._cpu_of[tag]
        if tag not in self._asleep:
            return previous, False, False
        self._asleep.remove(tag)
        cpu = self._select_task_rq(previous, waker)
        idle = not self._nr_running[cpu]
        self._enqueue(tag, cpu)
        return cpu, idle, True

    def _select_task_rq(self, previous: int, waker: int) -> int:
        """The previous CPU if it is idle; else an idle one that shares the cache of it or of the waker's; else that."""
        running = self._nr_running
        # wake_affine_weight: the CPU of the waker, whose caches hold what the two share, if it has less to do
        target = waker if waker >= 0 and running[waker] < running[previous] else previous
        return next((cpu for cpu in self._sharing_cache(target) if not running[cpu]), target)

    def _sharing_cache(self, target: int) -> Iterator[int]:
        """The CPUs that share a CPU's cache, from that one on."""
        domain = self._machine.sharing_cache(target)
        start = target - domain.start
        for offset in range(len(domain)):
            yield domain[(start + offset) % len(domain)]

    # --- load balancing ----------------------------------------------------------------------------------------------

    def _kicked(self, _: NohzKick, cpu: Any, tag: int) -> None:
        """An idle CPU, a near one first, takes a thread that waits at the sender's."""
        del tag
        if self._nr_running[cpu.cpu_id] < OVERLOADED:
            return
        near = self._sharing_cache(cpu.cpu_id)
        anywhere = range(len(self._nr_running))
        idle = next((n for cpus in (near, anywhere) for n in cpus if not self._nr_running[n]), None)
        if idle is not None:
            self._push(cpu.cpu_id, idle)

    def _newly_idle(self, _: NewlyIdle, cpu: Any, tag: int) -> None:
        """The sender takes a thread from the CPU where most wait, if it has found nothing to do meanwhile."""
        del tag
        if self._nr_running[cpu.cpu_id]:
            return
        busiest = max(self._machine.sharing_cache(cpu.cpu_id), key=self._nr_running.__getitem__)
        if self._nr_running[busiest] >= OVERLOADED:
            self._push(busiest, cpu.cpu_id)

    def _push(self, busy: int, idle: int) -> None:
        self._nr_running[busy] -= 1
        self._nr_running[idle] += 1
        self.reply(self.engine.now_ns, self._cpus[busy], 0, PushTask(cpu=idle))

    def _moves(self, message: TaskMoves, cpu: Any, tag: int) -> None:
        del cpu
        self._cpu_of[tag] = message.cpu

    def _kept(self, message: KeepsTask, cpu: Any, tag: int) -> None:
        del tag
        self._nr_running[cpu.cpu_id] += 1
        self._nr_running[message.cpu] -= 1
