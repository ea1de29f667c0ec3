"""Sleeping, waking, timers and the start of threads."""

from __future__ import annotations

from typing import Final

from protocols.base import Count, Message, Ns, Tracepoint

CLIENTS: Final = ("cpu", "khugepaged")


class MustSleep(Message, sender=("mm", "page_cache", "pipe", "barrier"), receiver=CLIENTS):
    """The request waits in a queue: the caller gives up its CPU until Granted or Retry comes with the same tag."""


class Granted(Message, sender=("mm",), receiver=CLIENTS):
    """Wake-up: the sleeper owns what it asked for (a reader of mmap_sem, a VMA whose readers are gone)."""


class Retry(Message, sender=("mm", "page_cache", "pipe", "barrier"), receiver=CLIENTS):
    """Wake-up without ownership: who waits to write mmap_sem, for a page lock or for bytes must try again."""


class TaskRuns(Message, sender=("cpu",), receiver=("sched_domain",)):
    """A thread begins its life on this CPU, or has been woken where it slept: one more is runnable here."""


class TaskSleeps(Message, sender=("cpu",), receiver=("sched_domain",)):
    """A thread sleeps from now on: whoever wakes it may put it on another CPU."""


class TaskEnds(Message, sender=("cpu",), receiver=("sched_domain",)):
    """A thread has ended: one less is runnable here."""


class SelectTaskRq(Message, sender=CLIENTS, receiver=("sched_domain",), reply=("TaskRq",)):
    """try_to_wake_up: which CPU shall the sleeper ``thread``, named by its tag, run on?"""

    thread: Count


class TaskRq(Message, sender=("sched_domain",), receiver=CLIENTS):
    """That one, where the thread is counted from now on; an idle one has to be interrupted.

    Not ``counted``: the thread has not fallen asleep yet, and stays.
    """

    cpu: Count
    idle: bool
    counted: bool


class PlaceTask(Message, sender=("cpu",), receiver=("sched_domain",)):
    """A sleeper of this CPU, named by the tag, is woken: put it where it should run.

    ``waker`` is the CPU that woke it; -1 where an actor did that has no CPU (a barrier, a page lock, a VMA's readers).
    """

    waker: int


class TtwuQueue(Message, sender=(*CLIENTS, "sched_domain"), receiver=("cpu",)):
    """Wake-up, on the CPU that has been chosen for the sleeper; not ``counted``: it was still running when it was."""

    counted: bool


class NohzKick(Message, sender=("cpu",), receiver=("sched_domain",)):
    """At the tick more than one thread is runnable on this CPU."""


class NewlyIdle(Message, sender=("cpu",), receiver=("sched_domain",)):
    """This CPU has nothing to run any more, and looks for a thread that waits elsewhere."""


class PushTask(Message, sender=("sched_domain",), receiver=("cpu",)):
    """Let ``cpu``, which is idle, have a thread that waits here; it is counted there from now on."""

    cpu: Count


class TaskMoves(Message, sender=("cpu",), receiver=("sched_domain",)):
    """It is the thread whose tag this is that ``cpu`` has."""

    cpu: Count


class KeepsTask(Message, sender=("cpu",), receiver=("sched_domain",)):
    """There is none any more that ``cpu`` could have."""

    cpu: Count


class MoveTask(Message, sender=("cpu",), receiver=("cpu",)):
    """The runnable thread whose tag this is runs on the receiver from now on."""


class LeftCpu(Message, sender=("cpu",), receiver=("cpu",)):
    """The thread whose tag this is, which was here, is on the sender now."""


class FutexWake(Message, sender=("cpu",), receiver=("cpu",)):
    """A thread wakes another one, named by its tag, that waits in user mode."""


class RunKthread(Message, sender=("khugepaged",), receiver=("cpu",), reply=("KthreadRan",)):
    """khugepaged computes for ``duration`` on this CPU, in turns with whatever else runs there."""

    duration: Ns


class KthreadRan(Message, sender=("cpu",), receiver=("khugepaged",)):
    """It has."""


class Resume(Message, sender=CLIENTS, receiver=CLIENTS):
    """To oneself: the local clock has been reached by virtual time."""


class Tick(Message, sender=("cpu",), receiver=("cpu",)):
    """To oneself: another thread is runnable, and the running one's slice is over, or an idle CPU might take it."""


class Dispatch(Message, sender=("cpu",), receiver=("cpu",)):
    """To oneself: an idle CPU has left its idle state and picks the next thread."""


class SiblingBusy(Message, sender=("cpu",), receiver=("cpu",)):
    """To the other CPUs of the core, where they slow each other: this one runs threads from now on, or idles."""

    busy: bool


class StartThread(Message, sender=("cpu", "host"), receiver=("cpu",)):
    """The first thread of the process starts another one, by number, on its CPU (clone); or the host has it do so."""

    thread: Count
    mm_users: Count


class Sigkill(Message, sender=("allocator",), receiver=("cpu",)):
    """The OOM killer chose the process whose number is the tag: its threads end when they next return to user mode."""


class SchedSwitch(Tracepoint, sender=("cpu",)):
    """sched_switch: from here on the thread with this tag is on the CPU, and what the CPU tells is of that thread."""

    thread: Count


MUST_SLEEP: Final = MustSleep()
GRANTED: Final = Granted()
RETRY: Final = Retry()
TASK_RUNS: Final = TaskRuns()
TASK_SLEEPS: Final = TaskSleeps()
TASK_ENDS: Final = TaskEnds()
NOHZ_KICK: Final = NohzKick()
NEWLY_IDLE: Final = NewlyIdle()
MOVE_TASK: Final = MoveTask()
LEFT_CPU: Final = LeftCpu()
FUTEX_WAKE: Final = FutexWake()
KTHREAD_RAN: Final = KthreadRan()
RESUME: Final = Resume()
TICK: Final = Tick()
DISPATCH: Final = Dispatch()
RUNS_THREADS: Final = SiblingBusy(busy=True)
IDLES: Final = SiblingBusy(busy=False)
SIGKILL: Final = Sigkill()
