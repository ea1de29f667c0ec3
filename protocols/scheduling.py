"""Sleeping, waking, timers and the start of threads."""

from __future__ import annotations

from typing import Final

from protocols.base import Count, Message, Ns

CLIENTS: Final = ("cpu", "khugepaged")


class MustSleep(Message, sender=("mm", "page_cache", "pipe", "barrier"), receiver=CLIENTS):
    """The request waits in a queue: the caller gives up its CPU until Granted or Retry comes with the same tag."""


class Granted(Message, sender=("mm",), receiver=CLIENTS):
    """Wake-up: the sleeper owns what it asked for (a reader of mmap_sem, a VMA whose readers are gone)."""


class Retry(Message, sender=("mm", "page_cache", "pipe", "barrier"), receiver=CLIENTS):
    """Wake-up without ownership: who waits to write mmap_sem, for a page lock or for bytes must try again."""


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
    """To oneself: the running thread's time slice is over and another thread is runnable."""


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


MUST_SLEEP: Final = MustSleep()
GRANTED: Final = Granted()
RETRY: Final = Retry()
FUTEX_WAKE: Final = FutexWake()
KTHREAD_RAN: Final = KthreadRan()
RESUME: Final = Resume()
TICK: Final = Tick()
DISPATCH: Final = Dispatch()
RUNS_THREADS: Final = SiblingBusy(busy=True)
IDLES: Final = SiblingBusy(busy=False)
SIGKILL: Final = Sigkill()
