"""What can be timed and counted alike in a recording and in a simulation of it, so that the two may be compared.

Each time runs from one of the kernel's tracepoints to another; whoever simulates has to take the same two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from kactors.recordings.event_names import (
    CALLS,
    COLLAPSE,
    ENTER,
    EXIT,
    FAULT_KERNEL,
    FAULT_USER,
    FLUSH_FUNCTION,
    FUNCTION_DONE,
    LOCAL_FLUSH,
    LOCK_ACQUIRED,
    LOCK_RELEASED,
    LOCK_START,
    PAGE_ALLOC,
    PAGE_FREE,
    QUEUE_FUNCTION,
    REMOTE_FLUSH,
    SCAN,
    SYNC_FUNCTION,
    TLB_FLUSH,
)
from kactors.recordings.fields import (
    LockFields,
    call_fields,
    call_result,
    fault_fields,
    is_success,
    lock_fields,
    order_of,
    queued_function,
    run_function,
)
from kactors.recordings.percentiles import Distribution, distribution
from kactors.recordings.perf_script import PerfEvent
from kactors.recordings.processes import RecordedProcess
from kactors.recordings.user_time import FAULT_WORK_GAP_NS

KHUGEPAGED = "khugepaged"
SLEEP_NS_MIN = 1_000_000
"""khugepaged's shortest sleep is 1 ms (scan_sleep_millisecs)."""


class Timing(Enum):
    """A time: between which two tracepoints."""

    READ_WAIT = "mmap_lock read wait"
    """mmap_lock_start_locking to the acquire_returned that succeeds, of a thread of the process."""
    WRITE_WAIT = "mmap_lock write wait"
    """The same of writers."""
    WRITE_HOLD = "mmap_lock write hold"
    """acquire_returned of a writer to its mmap_lock_released, or to the acquire_returned of its downgrade."""
    FLUSH_IPI = "flush IPI"
    """csd_queue_cpu to csd_function_exit on the target CPU."""
    SYNC_IPI = "table-free sync IPI"
    """The same of tlb_remove_table_smp_sync."""
    FAULT_TO_PAGE = "fault to its page"
    """page_fault to mm_page_alloc, where the thread shows nothing in between: a fault has no event at its end."""
    FAULT_LOCKED = "fault under mmap_lock"
    """page_fault to mmap_lock_released, of the faults that took the lock."""
    MMAP = "mmap"
    """sys_enter to sys_exit."""
    MUNMAP = "munmap"
    MPROTECT = "mprotect"
    MADVISE = "madvise"
    BRK = "brk"
    COLLAPSE = "collapse"
    """khugepaged's mm_page_alloc of the huge page to the mm_collapse_huge_page that succeeds."""


class Tally(Enum):
    """What is counted."""

    FAULTS = "faults"
    REMOTE_FLUSHES = "remote flushes"
    """tlb_flush with the reason "remote IPI send": another CPU is in mm_cpumask, whether it needs an IPI or not."""
    LOCAL_FLUSHES = "local flushes"
    """tlb_flush with the reason "local MM shootdown"."""
    ALLOCATIONS = "page allocations"
    """mm_page_alloc of any order, for whatever."""
    FREES = "page frees"
    COLLAPSES = "collapses"


@dataclass(frozen=True, slots=True)
class Measured:
    """All of it, over `span_ns`; what did not occur is missing or 0.

    `joins`: the areas that the process maps become part of others that have pages: most of the first faults in them
    take no mmap_lock, which they had to for an anon_vma of their own. `scan_sleep_ns`: khugepaged's sleep between two
    passes (the median; 0: it does not pass twice), `scans_per_pass`: the PMD ranges that it looks at in one, at most.
    """

    times: Mapping[Timing, Distribution]
    tallies: Mapping[Tally, int]
    span_ns: int
    joins: bool = False
    scan_sleep_ns: int = 0
    scans_per_pass: int = 0


@dataclass(slots=True)
class Samples:
    """What is being measured: times in ns, and counts."""

    times: dict[Timing, list[int]] = field(default_factory=lambda: {timing: [] for timing in Timing})
    tallies: Counter[Tally] = field(default_factory=Counter)
    joins: int = 0
    sleeps: list[int] = field(default_factory=list)
    scans: list[int] = field(default_factory=lambda: [0])

    def measured(self, span_ns: int) -> Measured:
        """Return them summed up."""
        times = {timing: distribution(taken) for timing, taken in self.times.items()}
        tallies = {tally: self.tallies[tally] for tally in Tally}
        sleep_ns = distribution(self.sleeps).p50_ns
        return Measured(times, tallies, span_ns, self.joins > 0, sleep_ns, max(self.scans))


@dataclass(slots=True)
class _Task:
    """What a thread is in the middle of; times since boot in ns."""

    call: tuple[str, int, int] | None = None
    waits: tuple[LockFields, int] | None = None
    writes_since: int | None = None
    fault_since: int | None = None
    fault_shows: str = ""
    huge_since: int | None = None
    new_area: range = range(0)
    first_fault: bool = False


def measure(events: Iterable[PerfEvent], process: RecordedProcess, span_ns: int) -> Measured:
    """Measure one process and khugepaged, who works for it, over the events of a recording in the order of time."""
    meter = _Meter(process)
    for event in events:
        meter.hear(event)
    return meter.samples.measured(span_ns)


class _Meter:
    def __init__(self, process: RecordedProcess) -> None:
        self.samples = Samples()
        self._process = process
        self._tasks: dict[int, _Task] = {}
        self._scanned: PerfEvent | None = None  # khugepaged's last event
        # By target CPU, function and csd, as in `facts`.
        self._queued: dict[tuple[int, str, str], int] = {}
        self._hearers: dict[str, Callable[[PerfEvent, _Task], None]] = {
            FAULT_USER: self._fault,
            FAULT_KERNEL: self._fault,
            LOCK_START: self._start,
            LOCK_ACQUIRED: self._acquired,
            LOCK_RELEASED: self._released,
            TLB_FLUSH: self._flush,
            PAGE_ALLOC: self._alloc,
            PAGE_FREE: self._free,
            QUEUE_FUNCTION: self._queue,
            COLLAPSE: self._collapse,
            **{ENTER + call: self._enter for call in CALLS},
            **{EXIT + call: self._exit for call in CALLS},
        }

    def hear(self, event: PerfEvent) -> None:
        if event.event == FUNCTION_DONE:
            self._done(event)
        if event.tid not in self._process.tids and event.comm != KHUGEPAGED:
            return
        if event.comm == KHUGEPAGED:
            self._scans(event)
        task = self._tasks.setdefault(event.tid, _Task())
        hearer = self._hearers.get(event.event)
        if hearer is not None:
            hearer(event, task)

    def _scans(self, event: PerfEvent) -> None:
        """Between two passes khugepaged sleeps for milliseconds where it neither holds nor waits for a lock."""
        last, self._scanned = self._scanned, event
        if event.event == SCAN:
            self.samples.scans[-1] += 1
        elif event.event == LOCK_START and last is not None and last.event in {SCAN, LOCK_RELEASED}:
            slept_ns = event.at_ns - last.at_ns
            if slept_ns >= SLEEP_NS_MIN:
                self.samples.sleeps.append(slept_ns)
                self.samples.scans.append(0)

    def _add(self, timing: Timing, since_ns: int | None, event: PerfEvent) -> None:
        if since_ns is not None:
            self.samples.times[timing].append(event.at_ns - since_ns)

    def _fault(self, event: PerfEvent, task: _Task) -> None:
        fields = fault_fields(event.args)
        if fields is not None and fields.address is not None:
            self.samples.tallies[Tally.FAULTS] += 1
            task.fault_since, task.fault_shows = event.at_ns, ""
            task.first_fault = fields.address in task.new_area
            task.new_area = range(0)

    def _start(self, event: PerfEvent, task: _Task) -> None:
        # A fault's lock is the first thing that it shows, and soon; it may try twice.
        late = task.fault_since is not None and event.at_ns - task.fault_since > FAULT_WORK_GAP_NS
        if task.fault_shows == PAGE_ALLOC or (late and not task.fault_shows):
            task.fault_since = None
        if task.fault_since is not None:
            self._first_fault(task, -1)
        task.fault_shows = LOCK_START
        lock = lock_fields(event.args)
        if lock is not None:
            task.waits = lock, event.at_ns

    def _acquired(self, event: PerfEvent, task: _Task) -> None:
        lock = lock_fields(event.args)
        waits, task.waits = task.waits, None
        if lock is None or not is_success(event.args):
            return
        if waits is None and not lock.write:
            self._ends_write(event, task)  # a downgrade shows no start
        elif waits is not None and waits[0] == lock and event.comm != KHUGEPAGED:
            self._add(Timing.WRITE_WAIT if lock.write else Timing.READ_WAIT, waits[1], event)
        task.writes_since = event.at_ns if lock.write else None

    def _released(self, event: PerfEvent, task: _Task) -> None:
        lock = lock_fields(event.args)
        if lock is not None and lock.write:
            self._ends_write(event, task)
        elif lock is not None:
            self._add(Timing.FAULT_LOCKED, task.fault_since, event)
            task.fault_since = None

    def _ends_write(self, event: PerfEvent, task: _Task) -> None:
        since_ns, task.writes_since = task.writes_since, None
        if event.comm != KHUGEPAGED:
            self._add(Timing.WRITE_HOLD, since_ns, event)

    def _flush(self, event: PerfEvent, task: _Task) -> None:
        del task
        if REMOTE_FLUSH in event.args:
            self.samples.tallies[Tally.REMOTE_FLUSHES] += 1
        elif LOCAL_FLUSH in event.args:
            self.samples.tallies[Tally.LOCAL_FLUSHES] += 1

    def _alloc(self, event: PerfEvent, task: _Task) -> None:
        self.samples.tallies[Tally.ALLOCATIONS] += 1
        if event.comm == KHUGEPAGED:
            task.huge_since = event.at_ns if order_of(event.args) else task.huge_since
        elif not task.fault_shows:
            self._add(Timing.FAULT_TO_PAGE, task.fault_since, event)
            task.fault_shows = PAGE_ALLOC
            self._first_fault(task, 1)

    def _first_fault(self, task: _Task, joins: int) -> None:
        self.samples.joins += joins if task.first_fault else 0
        task.first_fault = False

    def _free(self, event: PerfEvent, task: _Task) -> None:
        del event, task
        self.samples.tallies[Tally.FREES] += 1

    def _enter(self, event: PerfEvent, task: _Task) -> None:
        length = call_fields(event.args).get("len", 0)
        task.call, task.fault_since = (event.event.removeprefix(ENTER), event.at_ns, length), None

    def _exit(self, event: PerfEvent, task: _Task) -> None:
        call, task.call = task.call, None
        if call is not None and call[0] == event.event.removeprefix(EXIT):
            self._add(Timing(call[0]), call[1], event)
            task.new_area = _made(call[0], call[2], event)

    def _queue(self, event: PerfEvent, task: _Task) -> None:
        del task
        order = queued_function(event.args)
        if order is not None:
            self._queued[order] = event.at_ns

    def _done(self, event: PerfEvent) -> None:
        done = run_function(event.args)
        since_ns = None if done is None else self._queued.pop((event.cpu, *done), None)
        if done is not None and done[0] in {FLUSH_FUNCTION, SYNC_FUNCTION}:
            self._add(Timing.FLUSH_IPI if done[0] == FLUSH_FUNCTION else Timing.SYNC_IPI, since_ns, event)

    def _collapse(self, event: PerfEvent, task: _Task) -> None:
        since_ns, task.huge_since = task.huge_since, None
        if "status=succeeded" in event.args:
            self.samples.tallies[Tally.COLLAPSES] += 1
            self._add(Timing.COLLAPSE, since_ns, event)


def _made(call: str, length: int, event: PerfEvent) -> range:
    """The addresses that an mmap has just mapped; none for any other call."""
    address = call_result(event.args)
    return range(address, address + length) if call == "mmap" and address is not None and address > 0 else range(0)
