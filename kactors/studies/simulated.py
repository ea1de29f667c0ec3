"""A simulation measured between the tracepoints between which a recording is (`kactors.recordings.times`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kactors.engine.observer import Hearing, Observer
from kactors.kernel.lockdep import MMAP_SEM
from kactors.recordings.times import KHUGEPAGED, Measured, Samples, Tally, Timing
from protocols.base import Tracepoint
from protocols.machine import Machine
from protocols.scheduling import SchedSwitch
from protocols.tracepoints import (
    CollapseDone,
    FaultDone,
    FramePutBack,
    FrameTaken,
    IpiSend,
    IpiServed,
    LockReleased,
    MmapSemWait,
    MmPageAlloc,
    MmPageFree,
    PageFaultUser,
    SyscallDone,
    TlbFlush,
    WorkersStarted,
)

NO_THREAD = -1


class SimulatedTimes(Observer):
    """Measures a run from the start of its workers on.

    Args:
        machine: as it runs: its cost of tracing is 0 where nothing is traced.
        comparable: whether the run is still in what a recording is of: durations count as long as it is.
    """

    def __init__(self, machine: Machine, comparable: Callable[[], bool] = lambda: True) -> None:
        self._machine = machine
        self._comparable = comparable
        self._samples = Samples()
        self._from_ns: int | None = None
        self._until_ns = 0
        self._running: dict[str, int] = {}
        # By thread, which may be on another CPU when it goes on.
        self._faults: dict[int, int] = {}
        self._locked_faults: dict[int, int] = {}
        self._writes: dict[int, int] = {}
        self._sent: dict[str, int] = {}
        self._huge_ns: int | None = None

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear the kernel's tracepoints."""
        heard: dict[type[Tracepoint], Hearing] = {
            PageFaultUser: self._fault,
            FaultDone: self._fault_done,
            MmPageAlloc: self._alloc,
            FrameTaken: self._taken,
            MmPageFree: self._free,
            FramePutBack: self._free,
            MmapSemWait: self._waited,
            LockReleased: self._released,
            TlbFlush: self._flush,
            IpiSend: self._send,
            IpiServed: self._served,
            SyscallDone: self._call,
            CollapseDone: self._collapse,
        }
        always: dict[type[Tracepoint], Hearing] = {WorkersStarted: self._begin, SchedSwitch: self._switched}
        return always | {kind: self._measuring(hearing) for kind, hearing in heard.items()}

    def measured(self) -> Measured:
        """Return what was heard, up to the last tracepoint."""
        return self._samples.measured(self._until_ns - (self._from_ns or 0))

    @property
    def taken_ns(self) -> Mapping[Timing, Sequence[int]]:
        """Each time that was taken, in the order of their ends."""
        return self._samples.times

    def _begin(self, at_ns: int, _who: str, _told: WorkersStarted) -> None:
        self._from_ns = at_ns

    def _measuring(self, hearing: Hearing) -> Hearing:
        def hear(at_ns: int, who: str, told: Tracepoint) -> None:
            if self._from_ns is not None:
                self._until_ns = max(self._until_ns, at_ns)
                hearing(at_ns, who, told)

        return hear

    def _switched(self, _at_ns: int, who: str, told: SchedSwitch) -> None:
        self._running[who] = told.thread

    def _thread(self, who: str) -> int:
        """Return the thread that an actor speaks for."""
        return self._running.get(who, NO_THREAD)

    def _add(self, timing: Timing, ns: int) -> None:
        if self._comparable():
            self._samples.times[timing].append(ns)

    def _count(self, tally: Tally) -> None:
        self._samples.tallies[tally] += 1

    def _fault(self, at_ns: int, who: str, _told: PageFaultUser) -> None:
        self._count(Tally.FAULTS)
        thread = self._thread(who)
        self._faults[thread] = at_ns
        self._locked_faults.pop(thread, None)

    def _fault_done(self, _at_ns: int, who: str, _told: FaultDone) -> None:
        thread = self._thread(who)
        self._faults.pop(thread, None)
        self._locked_faults.pop(thread, None)

    def _alloc(self, at_ns: int, who: str, _told: MmPageAlloc) -> None:
        self._count(Tally.ALLOCATIONS)
        began_ns = self._faults.pop(self._thread(who), None)
        if began_ns is not None:
            self._add(Timing.FAULT_TO_PAGE, at_ns - began_ns)

    def _taken(self, at_ns: int, who: str, told: FrameTaken) -> None:
        self._count(Tally.ALLOCATIONS)
        self._faults.pop(self._thread(who), None)
        if who == KHUGEPAGED and told.order:
            self._huge_ns = at_ns

    def _free(self, _at_ns: int, _who: str, _told: Tracepoint) -> None:
        self._count(Tally.FREES)

    def _waited(self, at_ns: int, who: str, told: MmapSemWait) -> None:
        # As the recording's: what comes after the lock is no fault that shows nothing.
        if who == KHUGEPAGED:
            return
        thread = self._thread(who)
        began_ns = self._faults.pop(thread, None)
        if began_ns is not None and not told.write:
            self._locked_faults[thread] = began_ns
        self._add(Timing.WRITE_WAIT if told.write else Timing.READ_WAIT, told.wait)
        if told.write:
            self._writes[thread] = at_ns

    def _released(self, at_ns: int, _who: str, told: LockReleased) -> None:
        if told.lock != MMAP_SEM:
            return
        # mmap_lock_released, and a downgrade's event, are written down before the release.
        event_ns = at_ns - self._machine.tracing_ns
        if told.write and told.tag in self._writes:
            self._add(Timing.WRITE_HOLD, event_ns - self._writes.pop(told.tag))
        elif not told.write and told.tag in self._locked_faults:
            self._add(Timing.FAULT_LOCKED, event_ns - self._locked_faults.pop(told.tag))

    def _flush(self, _at_ns: int, who: str, told: TlbFlush) -> None:
        if told.remote:
            self._count(Tally.REMOTE_FLUSHES)
        if told.done and who != KHUGEPAGED:
            self._count(Tally.LOCAL_FLUSHES)

    def _send(self, at_ns: int, who: str, _told: IpiSend) -> None:
        self._sent[who] = at_ns

    def _served(self, _at_ns: int, _who: str, told: IpiServed) -> None:
        sender = KHUGEPAGED if told.sender < 0 else f"cpu{told.sender}"
        if sender not in self._sent:
            return
        # The function's own exit event is the last thing before the ack.
        exit_ns = told.arrived_at + told.delayed + told.duration - self._machine.tracing_ns
        self._add(Timing.FLUSH_IPI if told.kind == "flush" else Timing.SYNC_IPI, exit_ns - self._sent[sender])

    def _call(self, _at_ns: int, _who: str, told: SyscallDone) -> None:
        # sys_enter and sys_exit lie inside the way in and out, which is no part of a recorded call.
        self._add(Timing(told.name), told.duration - self._machine.syscall_ns - self._machine.tracing_ns)

    def _collapse(self, at_ns: int, _who: str, told: CollapseDone) -> None:
        began_ns, self._huge_ns = self._huge_ns, None
        if told.status == "succeeded":
            self._count(Tally.COLLAPSES)
            if began_ns is not None:
                self._add(Timing.COLLAPSE, at_ns - began_ns)
