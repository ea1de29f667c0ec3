"""How long a thread computed between two of its steps.

A recording has no event for the return to user mode and none for coming back to a CPU; the time is pieced together:

- It begins where the step before ended: at the exit of a call; after a fault at the last of the events that belong to
  the fault (the page was allocated, the lock released). What the kernel does after that event counts as user time, as
  does every call that was not recorded.
- A piece runs from one event of the thread to its next. The first event of another task on that CPU ends it, as does
  an event that tells of the switch. When it returned nothing tells: if it is seen next on the same CPU, it is taken
  to have been there since the last event of another task; if elsewhere, since its own.
- A thread that is seen on another CPU is counted on its old one up to that moment at most.
- Interrupts that are recorded with entry and exit are left out.
- Writing an event down costs time that an untraced run does not spend: once for each piece.
"""

from __future__ import annotations

from collections.abc import Iterable

from kactors.recordings.event_names import LOCK_ACQUIRED, LOCK_START
from kactors.recordings.fields import lock_fields
from kactors.recordings.percentiles import percentile
from kactors.recordings.perf_script import PerfEvent

FAULT_WORK_GAP_NS = 100_000
"""An event further from a fault than this is not of the fault, unless the mmap lock is held or waited for in between:
as long as it takes to zero 2 MiB, the longest that a fault does without an event."""

_TRACING_PERCENT = 10


class UserClock:
    """The user time of one thread since its last step, in ns. Time is fed in by whoever reads the events, in order."""

    __slots__ = ("_fault_ns", "_interrupts", "_locking", "_since_ns", "_spent_ns", "_tracing_ns")

    def __init__(self, tracing_ns: int) -> None:
        self._tracing_ns = tracing_ns
        self._spent_ns = 0
        self._since_ns: int | None = None  # None: not known to be on a CPU
        self._interrupts = 0
        self._fault_ns: int | None = None  # the last event of the fault, as long as the fault may go on
        self._locking = False

    def seen(self, at_ns: int) -> None:
        """The thread is on its CPU."""
        self._add_piece(at_ns)
        self._since_ns = at_ns

    def gone(self, at_ns: int) -> None:
        """The thread is not on its CPU, from now on at the latest."""
        self._add_piece(at_ns)
        self._since_ns = None

    def back(self, at_ns: int) -> None:
        """The thread has its CPU again, since the last event of another task there at the latest."""
        if self._since_ns is None:
            self._since_ns = at_ns

    def interrupt_entered(self, at_ns: int) -> None:
        """Its CPU serves an interrupt."""
        self.seen(at_ns)
        self._interrupts += 1

    def interrupt_left(self, at_ns: int) -> None:
        """Its CPU has served an interrupt; the entry may be missing."""
        self.seen(at_ns)
        self._interrupts = max(0, self._interrupts - 1)

    @property
    def locking(self) -> bool:
        """The thread's fault waits for the mmap lock, or has it."""
        return self._locking

    def switched(self, at_ns: int) -> bool:
        """An event tells that the thread leaves its CPU. In an interrupt it tells only of a flush: False."""
        if self._interrupts:
            self.seen(at_ns)
            return False
        self.gone(at_ns)
        return not self._locking

    def fault_work(self, at_ns: int, locking: bool | None) -> None:
        """The thread shows an event that a fault may show; `locking`: it waits for or has the lock, None: as before."""
        fault_ns = self._fault_ns
        if fault_ns is not None and not self._interrupts:
            if self._locking or at_ns - fault_ns <= FAULT_WORK_GAP_NS:
                self._begin(at_ns)
                self._fault_ns = at_ns
                self._locking = self._locking if locking is None else locking
                return
            self._fault_ns = None
        self.seen(at_ns)

    def take(self, at_ns: int) -> int:
        """A step begins: the user time before it."""
        self._interrupts = 0  # a step begins in no interrupt: the exit must have been lost
        self.seen(at_ns)
        return self._spent_ns

    def step_ended(self, at_ns: int, *, fault: bool = False) -> None:
        """A step ended, or, if it was a fault, began: its end is the last event that `fault_work` is told."""
        self._begin(at_ns)
        self._interrupts = 0
        self._locking = False
        self._fault_ns = at_ns if fault else None

    def _begin(self, at_ns: int) -> None:
        self._spent_ns = 0
        self._since_ns = at_ns

    def _add_piece(self, at_ns: int) -> None:
        if self._since_ns is not None and not self._interrupts:
            self._spent_ns += max(0, at_ns - self._since_ns - self._tracing_ns)


def tracing_cost_ns(events: Iterable[PerfEvent]) -> int:
    """What it cost to write one event of this recording down, in ns; 0 if nothing tells.

    Between mmap_lock_start_locking and mmap_lock_acquire_returned a thread that finds the lock free does almost nothing
    (one compare-and-swap): their distance is the cost of tracing. It is the 10th percentile of the distances in which
    the CPU showed no other event, so that waiting counts only in a recording that hardly ever finds the lock free.
    """
    distances = []
    last: dict[int, PerfEvent] = {}
    for event in events:
        if event.event == LOCK_ACQUIRED:
            before = last.get(event.cpu)
            if before is not None and before.event == LOCK_START and before.tid == event.tid:
                lock = lock_fields(event.args)
                if lock is not None and lock == lock_fields(before.args):
                    distances.append(event.at_ns - before.at_ns)
        last[event.cpu] = event
    return percentile(sorted(distances), _TRACING_PERCENT) if distances else 0
