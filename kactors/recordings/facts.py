"""What a recording itself says about its run, to be compared with what a simulation of it says.

All times contain the cost of tracing, which a simulation does not have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from kactors.recordings.event_names import (
    CALLS,
    COLLAPSE,
    ENTER,
    EXIT,
    FAULT_KERNEL,
    FAULT_USER,
    FLUSH_FUNCTION,
    FUNCTION_DONE,
    LOCK_ACQUIRED,
    LOCK_START,
    QUEUE_FUNCTION,
    REMOTE_FLUSH,
    SYNC_FUNCTION,
    TLB_FLUSH,
)
from kactors.recordings.fields import LockFields, fault_fields, lock_fields, mm_of, queued_function, run_function
from kactors.recordings.percentiles import Distribution, distribution
from kactors.recordings.perf_script import PerfEvent
from kactors.recordings.processes import RecordedProcess

KHUGEPAGED = "khugepaged"


@dataclass(frozen=True, slots=True)
class CallCounts:
    """Calls of which both the enter and the exit are recorded, whatever they returned."""

    mmap: int
    munmap: int
    mprotect: int
    madvise: int
    brk: int


@dataclass(frozen=True, slots=True)
class MeasuredFacts:
    """Counts and times of one process, or of all tasks.

    - `span_ns`: from the recording's first to its last event, of whatever task.
    - `faults`: page faults on user addresses, in user mode or in the kernel.
    - `write_wait`, `read_wait`: from mmap_lock_start_locking to mmap_lock_acquire_returned of the same thread, lock and
      mode, whether it was acquired or not. A downgrade shows no start and is not in `read_wait`.
    - `remote_flushes`: flushes for which the kernel asked other CPUs (tlb_flush, "remote IPI send"). It need not send
      an IPI for each: a CPU whose TLB is lazy or that uses another address space gets none.
    - `flush_ipi`, `sync_ipi`: from csd_queue_cpu to csd_function_exit on the target CPU, of the flush and of the
      table-free synchronisation. Those without a recorded exit are missing (an idle CPU often shows none).
    - `collapses`: huge pages that khugepaged made.

    For one process, IPIs count if one of its threads or khugepaged sent them, collapses if they are in its mm.
    """

    span_ns: int
    faults: int
    calls: CallCounts
    write_wait: Distribution
    read_wait: Distribution
    remote_flushes: int
    flush_ipi: Distribution
    sync_ipi: Distribution
    collapses: int


@dataclass(frozen=True, slots=True)
class _Sample:
    """One thing that was counted or timed: `what`, by the thread `tid`, of the address space `mm` if known."""

    what: str
    tid: int
    comm: str
    time_ns: int = 0
    mm: int | None = None


class FactsGatherer:
    """Hears all events of a recording in the order of time."""

    def __init__(self) -> None:
        self._samples: list[_Sample] = []
        self._waits: dict[int, tuple[int, LockFields]] = {}  # tid -> since when, for what
        self._calls: dict[int, str] = {}  # tid -> the call it is in
        # (target CPU, function, csd) -> since when, sender's tid and comm. The csd tells a flush that another CPU asked
        # for from one that the CPU runs for itself, which shows csd=(nil).
        self._ipis: dict[tuple[int, str, str], tuple[int, int, str]] = {}
        self._hearers: dict[str, Callable[[PerfEvent], None]] = {
            FAULT_USER: self._fault,
            FAULT_KERNEL: self._fault,
            LOCK_START: self._lock_start,
            LOCK_ACQUIRED: self._lock_acquired,
            QUEUE_FUNCTION: self._queued,
            FUNCTION_DONE: self._done,
            TLB_FLUSH: self._flush,
            COLLAPSE: self._collapse,
            **{ENTER + call: self._call_enter for call in CALLS},
            **{EXIT + call: self._call_exit for call in CALLS},
        }

    def hear(self, event: PerfEvent) -> None:
        """Takes the next event."""
        hearer = self._hearers.get(event.event)
        if hearer is not None:
            hearer(event)

    def facts(self, span_ns: int, process: RecordedProcess | None = None) -> MeasuredFacts:
        """What was heard, in `span_ns`, of `process` or of all tasks."""
        samples = [sample for sample in self._samples if process is None or _is_of(sample, process)]
        counts = Counter(sample.what for sample in samples)

        def times(what: str) -> Distribution:
            return distribution(sample.time_ns for sample in samples if sample.what == what)

        return MeasuredFacts(
            span_ns=span_ns,
            faults=counts["fault"],
            calls=CallCounts(**{call: counts[call] for call in CALLS}),
            write_wait=times("write"),
            read_wait=times("read"),
            remote_flushes=counts[REMOTE_FLUSH],
            flush_ipi=times(FLUSH_FUNCTION),
            sync_ipi=times(SYNC_FUNCTION),
            collapses=counts[COLLAPSE],
        )

    def _fault(self, event: PerfEvent) -> None:
        fields = fault_fields(event.args)
        if fields is not None and fields.address is not None:
            self._samples.append(_Sample("fault", event.tid, event.comm))

    def _lock_start(self, event: PerfEvent) -> None:
        lock = lock_fields(event.args)
        if lock is not None:
            self._waits[event.tid] = (event.at_ns, lock)

    def _lock_acquired(self, event: PerfEvent) -> None:
        since_ns, lock = self._waits.get(event.tid, (0, None))
        if lock is not None and lock == lock_fields(event.args):
            del self._waits[event.tid]
            what = "write" if lock.write else "read"
            self._samples.append(_Sample(what, event.tid, event.comm, event.at_ns - since_ns))

    def _call_enter(self, event: PerfEvent) -> None:
        self._calls[event.tid] = event.event.removeprefix(ENTER)

    def _call_exit(self, event: PerfEvent) -> None:
        call = event.event.removeprefix(EXIT)
        if self._calls.pop(event.tid, None) == call:
            self._samples.append(_Sample(call, event.tid, event.comm))

    def _queued(self, event: PerfEvent) -> None:
        order = queued_function(event.args)
        if order is not None:
            # A csd carries one order at a time: if this one was still open, its exit was not recorded.
            self._ipis[order] = (event.at_ns, event.tid, event.comm)

    def _done(self, event: PerfEvent) -> None:
        done = run_function(event.args)
        sent = self._ipis.pop((event.cpu, *done), None) if done is not None else None
        if done is not None and sent is not None:
            since_ns, tid, comm = sent
            self._samples.append(_Sample(done[0], tid, comm, event.at_ns - since_ns))

    def _flush(self, event: PerfEvent) -> None:
        if REMOTE_FLUSH in event.args:
            self._samples.append(_Sample(REMOTE_FLUSH, event.tid, event.comm))

    def _collapse(self, event: PerfEvent) -> None:
        if "status=succeeded" in event.args:
            self._samples.append(_Sample(COLLAPSE, event.tid, event.comm, mm=mm_of(event.args)))


def _is_of(sample: _Sample, process: RecordedProcess) -> bool:
    if sample.what == COLLAPSE:
        return process.mm is None or sample.mm == process.mm
    if sample.what in {FLUSH_FUNCTION, SYNC_FUNCTION, REMOTE_FLUSH} and sample.comm == KHUGEPAGED:
        return True
    return sample.tid in process.tids
