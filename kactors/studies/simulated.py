"""A simulation measured between the tracepoints between which a recording is (`kactors.recordings.times`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kactors.engine.observer import Hearing, Observer
from kactors.kernel.lockdep import MMAP_SEM
from kactors.recordings.times import KHUGEPAGED, Measured, Samples, Tally, Timing
from protocols.base import Tracepoint
from protocols.machine import Machine
from protocols.tracepoints import (
    CollapseDone,
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


class SimulatedTimes(Observer):
    """Measures a run from the start of its workers on.

    Args:
        machine: as it runs: its cost of tracing is 0 where nothing is traced.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._samples = Samples()
        self._from_ns: int | None = None
        self._until_ns = 0
        # By actor, since only the thread that is on it speaks for it.
        self._faults: dict[str, int] = {}
        self._locked_faults: dict[str, int] = {}
        self._writes: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._huge_ns: int | None = None

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear the kernel's tracepoints."""
        heard: dict[type[Tracepoint], Hearing] = {
            PageFaultUser: self._fault,
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
        return {WorkersStarted: self._begin} | {kind: self._measuring(hearing) for kind, hearing in heard.items()}

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

    def _add(self, timing: Timing, ns: int) -> None:
        self._samples.times[timing].append(ns)

    def _count(self, tally: Tally) -> None:
        self._samples.tallies[tally] += 1

    def _fault(self, at_ns: int, who: str, _told: PageFaultUser) -> None:
        self._count(Tally.FAULTS)
        self._faults[who] = at_ns
        self._locked_faults.pop(who, None)

    def _alloc(self, at_ns: int, who: str, _told: MmPageAlloc) -> None:
        self._count(Tally.ALLOCATIONS)
        if who in self._faults:
            self._add(Timing.FAULT_TO_PAGE, at_ns - self._faults.pop(who))

    def _taken(self, at_ns: int, who: str, told: FrameTaken) -> None:
        self._count(Tally.ALLOCATIONS)
        self._faults.pop(who, None)
        if who == KHUGEPAGED and told.order:
            self._huge_ns = at_ns

    def _free(self, _at_ns: int, _who: str, _told: Tracepoint) -> None:
        self._count(Tally.FREES)

    def _waited(self, at_ns: int, who: str, told: MmapSemWait) -> None:
        # As the recording's: what comes after the lock is no fault that shows nothing.
        began_ns = self._faults.pop(who, None)
        if began_ns is not None and not told.write:
            self._locked_faults[who] = began_ns
        if who == KHUGEPAGED:
            return
        self._add(Timing.WRITE_WAIT if told.write else Timing.READ_WAIT, told.wait)
        if told.write:
            self._writes[who] = at_ns

    def _released(self, at_ns: int, _who: str, told: LockReleased) -> None:
        if told.lock != MMAP_SEM:
            return
        # mmap_lock_released, and a downgrade's event, are written down before the release.
        event_ns = at_ns - self._machine.tracing_ns
        if told.write and told.owner in self._writes:
            self._add(Timing.WRITE_HOLD, event_ns - self._writes.pop(told.owner))
        elif not told.write and told.owner in self._locked_faults:
            self._add(Timing.FAULT_LOCKED, event_ns - self._locked_faults.pop(told.owner))

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
